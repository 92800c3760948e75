use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

use super::*;
use crate::operation::{Api, CmpOperation, MspOperation};

/// What two documents must have in common: a schema without its texts and examples, "or null" written in
/// one way, whatever version of OpenAPI it comes from.
fn essence(document: &Value, schema: &Value) -> Value {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        return essence(
            document,
            &document["components"]["schemas"][name.rsplit('/').next().unwrap()],
        );
    }
    let mut out = Map::new();
    let mut null = schema.get("nullable") == Some(&json!(true));
    match schema.get("type") {
        Some(Value::Array(types)) => {
            null |= types.contains(&json!("null"));
            out.insert(
                "type".into(),
                types.iter().find(|t| **t != "null").unwrap().clone(),
            );
        }
        Some(one) => {
            out.insert("type".into(), one.clone());
        }
        None => {}
    }
    out.insert("null".into(), Value::Bool(null));
    for name in ["format", "pattern", "default", "minLength", "maxLength"] {
        if let Some(value) = schema.get(name) {
            out.insert(name.into(), value.clone());
        }
    }
    for name in ["enum", "required"] {
        let mut list: Vec<String> = schema
            .get(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(Value::to_string)
            .collect();
        list.sort();
        out.insert(name.into(), json!(list));
    }
    if let Some(members) = schema.get("properties").and_then(Value::as_object) {
        let members: Map<String, Value> = members
            .iter()
            .map(|(name, member)| (name.clone(), essence(document, member)))
            .collect();
        out.insert("properties".into(), members.into());
    }
    if let Some(items) = schema.get("items") {
        out.insert("items".into(), essence(document, items));
    }
    out.into()
}

/// An operation: its parameters, its body, its answers and how a caller proves who it is.
fn operation(document: &Value, found: &Value) -> Value {
    let content = |holder: &Value| {
        holder.get("content").map(|content| {
            let types = content.as_object().unwrap();
            assert_eq!(types.keys().collect::<Vec<_>>(), ["application/json"]);
            essence(document, &content["application/json"]["schema"])
        })
    };
    let parameters: Map<String, Value> = found["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| {
            let name = format!(
                "{} {}",
                p["in"].as_str().unwrap(),
                p["name"].as_str().unwrap()
            );
            let required = p.get("required").cloned().unwrap_or(json!(false));
            (name, json!([required, essence(document, &p["schema"])]))
        })
        .collect();
    let body = found
        .get("requestBody")
        .map(|b| json!([b["required"], content(b)]));
    let responses: Map<String, Value> = found["responses"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(status, r)| (status.clone(), json!(content(r))))
        .collect();
    let security = found
        .get("security")
        .or_else(|| document.get("security"))
        .unwrap();
    let mut schemes: Vec<String> = security
        .as_array()
        .unwrap()
        .iter()
        .map(Value::to_string)
        .collect();
    schemes.sort();
    json!({"parameters": parameters, "body": body, "responses": responses, "security": schemes,
        "id": found["operationId"]})
}

fn operations(document: &Value) -> Map<String, Value> {
    let mut out = Map::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, found) in item.as_object().unwrap() {
            out.insert(format!("{method} {path}"), operation(document, found));
        }
    }
    out
}

/// What our CMP takes beyond the contract, and its document says: null, an empty text and absence mean the same in
/// these members. Body, member, whether it is demanded there, and whether null is not allowed there.
const WIDER: [(&str, &str, bool, bool); 8] = [
    ("SendMspTokenBody", "error", true, false),
    ("SendMspTokenBody", "customerGroup", false, true),
    ("UpdateSubscriptionInfoBody", "customerGroup", false, true),
    ("NotifyTokenInvalidBody", "reason", false, true),
    ("SendProfileInformationBody", "reason", true, false),
    ("SendActivationCodeBody", "error", true, false),
    ("SendActivationCodeBody", "iccid", true, false),
    ("SendActivationCodeBody", "swappedIccid", true, false),
];

/// Widens the contract by exactly that.
fn widen(document: &mut Value) {
    for (body, member, demanded, not_null) in WIDER {
        let schema = &mut document["components"]["schemas"][body];
        if schema.is_null() {
            continue;
        }
        let schema = match schema["properties"].get("profiles") {
            Some(_) => &mut schema["properties"]["profiles"]["items"],
            None => schema,
        };
        if demanded {
            let required = schema["required"].as_array_mut().unwrap();
            assert!(required.contains(&json!(member)), "{body} {member}");
            required.retain(|name| name != member);
        }
        if not_null {
            schema["properties"][member]["nullable"] = json!(true);
        }
    }
}

fn compare<A: Api>(file: &str) {
    let ours: Value = serde_json::from_str(&openapi::<A>()).unwrap();
    let file = format!("spec/annexB/effective/{file}");
    let Some(text) = aid_needs::shared_text(&file) else {
        return;
    };
    let mut theirs: Value = serde_json::from_str(&text).unwrap();
    widen(&mut theirs);
    let (ours_all, theirs_all) = (operations(&ours), operations(&theirs));
    // In any order: a JSON library may keep that of the document.
    assert_eq!(
        ours_all.keys().collect::<BTreeSet<_>>(),
        theirs_all.keys().collect::<BTreeSet<_>>()
    );
    for (name, expected) in &theirs_all {
        assert_eq!(&ours_all[name], expected, "{name}");
    }
    for scheme in ["apiKey", "basicAuth"] {
        let of = |document: &Value| document["components"]["securitySchemes"][scheme].clone();
        for member in ["type", "name", "in", "scheme"] {
            assert_eq!(of(&ours)[member], of(&theirs)[member], "{scheme} {member}");
        }
    }
}

// R-B-1, R-B-3, R-B-4, R-7-2
#[test]
fn the_cmps_document_is_the_effective_contract() {
    compare::<CmpOperation>("cmp-cesim-msp.openapi.json");
}

// R-B-2, R-B-3, R-B-4, R-7-2
#[test]
fn the_msps_document_is_the_effective_contract() {
    compare::<MspOperation>("msp-cesim-cmp.openapi.json");
}

// Without the contract beside us: the documents are whole by themselves.
#[test]
fn every_reference_of_a_document_leads_somewhere() {
    for (text, count) in [
        (openapi::<CmpOperation>(), CmpOperation::ALL.len()),
        (openapi::<MspOperation>(), MspOperation::ALL.len()),
    ] {
        let document: Value = serde_json::from_str(&text).unwrap();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        assert_eq!(operations(&document).len(), count);
        for part in text.split("\"#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(
                document["components"]["schemas"][name].is_object(),
                "{name}"
            );
        }
    }
}
