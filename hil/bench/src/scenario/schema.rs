//! The JSON Schema of scenario files, made of the table of steps; `hil/bench/scenarios/schema.json` is what this makes.

use super::catalog::{self, Action, Run};
use super::given;
use super::kind::{Param, TIME};
use serde_json::{Map, Value, json};

/// The schema.
pub(super) fn schema() -> Value {
    let steps: Vec<Value> = catalog::all().map(step).chain([each()]).collect();
    let text = json!({"type": "string", "minLength": 1});
    let columns = json!({"type": "array", "items": {
        "type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]},
    }});
    let mut variants = columns.clone();
    variants["items"]["required"] = json!(["name"]);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A scenario of aid-hil",
        "description": "docs/scenarios.md explains it.",
        "type": "object",
        "required": ["title", "clause", "steps"],
        "additionalProperties": false,
        "properties": {
            "title": text, "clause": text, "requirements": ids(),
            "sgp23": {"type": "array", "items": {"type": "string"}},
            "given": object(given::PARAMS, Map::new()),
            "variants": variants,
            "rows": {"type": "object", "additionalProperties": columns},
            "steps": {"$ref": "#/$defs/steps"},
        },
        "$defs": {
            "steps": {"type": "array", "minItems": 1, "items": {"oneOf": steps}},
        },
    })
}

fn ids() -> Value {
    json!({"type": "array", "items": {"type": "string", "pattern": r"^R-[0-9A-Za-z.]+-[0-9]+$"}})
}

fn object(params: &[Param], mut properties: Map<String, Value>) -> Value {
    let mut required = Vec::new();
    for param in params {
        let mut schema = param.kind.schema();
        schema["description"] = json!(param.about);
        properties.insert(param.name.to_owned(), schema);
        if param.required {
            required.push(param.name);
        }
    }
    json!({
        "type": "object", "additionalProperties": false,
        "properties": properties, "required": required,
    })
}

fn step(action: &'static Action) -> Value {
    let text = json!({"type": "string", "minLength": 1});
    let mut properties = Map::new();
    let words: &[&str] = match action.run {
        Run::Do(_) => &["given", "when"],
        Run::See(_) => &["then"],
    };
    for word in words {
        properties.insert((*word).to_owned(), text.clone());
    }
    properties.insert(action.key().to_owned(), json!({"const": action.name}));
    properties.insert("save".into(), text.clone());
    properties.insert("take".into(), text.clone());
    properties.insert("proves".into(), ids());
    match action.run {
        Run::Do(_) => properties.insert("refused".into(), text),
        Run::See(_) => {
            properties.insert("within".into(), json!({"type": "string", "pattern": TIME}))
        }
    };
    let mut schema = object(action.params, properties);
    schema["description"] = json!(action.about);
    let mut required = vec![json!(action.key())];
    required.extend(schema["required"].as_array().into_iter().flatten().cloned());
    schema["required"] = Value::Array(required);
    let one: Vec<Value> = words.iter().map(|w| json!({"required": [w]})).collect();
    schema["oneOf"] = Value::Array(one);
    schema
}

/// Steps that are played for each row of a table.
fn each() -> Value {
    let text = json!({"type": "string", "minLength": 1});
    json!({
        "type": "object", "additionalProperties": false, "required": ["each", "steps"],
        "description": "steps that are played for each row of rows.NAME",
        "properties": {
            "given": text, "when": text, "then": text, "each": text, "proves": ids(),
            "steps": {"$ref": "#/$defs/steps"},
        },
        "oneOf": [{"required": ["given"]}, {"required": ["when"]}, {"required": ["then"]}],
    })
}

/// The table of all steps for docs/scenarios.md.
pub(super) fn reference() -> String {
    let mut out = String::new();
    for (key, head) in [
        ("do", "Under `given` and `when`: `do`"),
        ("see", "Under `then`: `see`"),
    ] {
        out.push_str(&format!(
            "### {head}\n\n| name | arguments | what it does |\n|---|---|---|\n"
        ));
        for action in catalog::all().filter(|a| a.key() == key) {
            let params = action.params.iter().map(|p| {
                let words = p.kind.words().replace('|', "\\|");
                let star = if p.required { " (needed)" } else { "" };
                format!("`{}`{star}: {}; {words}", p.name, p.about)
            });
            let params = params.collect::<Vec<_>>().join("<br>");
            out.push_str(&format!(
                "| `{}` | {params} | {} |\n",
                action.name, action.about
            ));
        }
        out.push('\n');
    }
    out.push_str("### `[given]`\n\n| key | what it is |\n|---|---|\n");
    for param in given::PARAMS {
        out.push_str(&format!(
            "| `{}` | {}; {} |\n",
            param.name,
            param.about,
            param.kind.words()
        ));
    }
    out
}

#[cfg(test)]
mod tests;
