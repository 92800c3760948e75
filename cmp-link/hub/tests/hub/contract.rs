//! A side's API as the effective contract (Annex B) describes it: requests and answers are made of its examples, and what
//! arrives is judged by its schemas.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use uuid::Uuid;

/// One side's operations, as Annex B describes them.
#[derive(Clone)]
pub(crate) struct Contract(Arc<Value>);

/// An operation of a contract.
struct Operation<'a> {
    method: String,
    /// Path with its variable in braces.
    path: &'a str,
    described: &'a Value,
}

/// Makes what OpenAPI 3.0 calls nullable a type of JSON Schema.
fn nullable(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if members.get("nullable") == Some(&json!(true))
                && let Some(kind) = members.get("type").cloned()
            {
                members.insert("type".into(), json!([kind, "null"]));
            }
            members.values_mut().for_each(nullable);
        }
        Value::Array(items) => items.iter_mut().for_each(nullable),
        _ => {}
    }
}

impl Contract {
    pub(crate) fn read(file: &str) -> Option<Self> {
        let text = aid_needs::shared_text(&format!("spec/annexB/effective/{file}"))?;
        let mut document: Value = serde_json::from_str(&text).unwrap();
        nullable(&mut document);
        Some(Self(Arc::new(document)))
    }

    fn operations(&self) -> impl Iterator<Item = Operation<'_>> {
        let paths = self.0["paths"].as_object().unwrap();
        paths.iter().flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().iter();
            let methods = methods.filter(|(_, o)| o["operationId"].is_string());
            methods.map(move |(method, described)| Operation {
                method: method.to_uppercase(),
                path,
                described,
            })
        })
    }

    fn named(&self, id: &str) -> Operation<'_> {
        let found = self.operations().find(|o| o.described["operationId"] == id);
        found.unwrap_or_else(|| panic!("{id}"))
    }

    /// What a schema says of a body; none if it fits.
    fn complaint(&self, schema: &Value, body: &[u8]) -> Option<String> {
        let mut root = schema.as_object().unwrap().clone();
        root.insert("components".into(), self.0["components"].clone());
        let validator = jsonschema::validator_for(&Value::Object(root)).unwrap();
        let Ok(body) = serde_json::from_slice::<Value>(body) else {
            return Some("no JSON".into());
        };
        validator.validate(&body).err().map(|e| e.to_string())
    }

    /// A body with the examples of a schema, and these members.
    fn example(&self, schema: &Value, with: Value) -> Value {
        let name = schema["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
        let schema = &self.0["components"]["schemas"][name];
        let properties = schema["properties"].as_object().unwrap().iter();
        let mut body: Map<String, Value> = properties
            .map(|(name, property)| (name.clone(), property["example"].clone()))
            .collect();
        if let Value::Object(members) = with {
            body.extend(members);
        }
        Value::Object(body)
    }

    fn schema(body: &Value) -> Option<&Value> {
        body["content"]["application/json"].get("schema")
    }

    /// A request of this operation: method, path and body.
    pub(crate) fn request(
        &self,
        id: &str,
        variable: &str,
        with: Value,
    ) -> (&'static str, String, String) {
        let operation = self.named(id);
        let method = ["POST", "PATCH", "DELETE", "GET"]
            .into_iter()
            .find(|method| *method == operation.method);
        let start = operation.path.find('{').unwrap();
        let end = operation.path.find('}').unwrap();
        let path = format!(
            "{}{variable}{}",
            &operation.path[..start],
            &operation.path[end + 1..]
        );
        let schema = Self::schema(&operation.described["requestBody"]);
        let body = schema.map(|schema| {
            let body = self.example(schema, with).to_string();
            assert_eq!(self.complaint(schema, body.as_bytes()), None, "{id}");
            body
        });
        (method.unwrap(), path, body.unwrap_or_default())
    }

    /// What a party answers that keeps to the contract: the first success with these members in its body, or 201 where it is
    /// asked to come later. `ids` are the request's `CMP-request-id` and `correlation-id`.
    ///
    /// # Errors
    /// What in the request does not fit the contract.
    pub(crate) fn answer(
        &self,
        (method, path, body): (&str, &str, &[u8]),
        ids: [&str; 2],
        (later, with): (bool, Value),
    ) -> Result<(u16, String), String> {
        let path = path.split('?').next().unwrap_or_default();
        let fits = |o: &Operation<'_>| {
            let (o, path) = (o.path.split('/'), path.split('/'));
            o.clone().count() == path.clone().count()
                && o.zip(path).all(|(a, b)| a.starts_with('{') || a == b)
        };
        let found = self.operations().find(|o| o.method == method && fits(o));
        let operation = found.ok_or_else(|| format!("no operation: {method} {path}"))?;
        for id in ids {
            let id: Result<Uuid, _> = id.parse();
            id.map_err(|_| format!("{path}: CMP-request-id or correlation-id is no UUID"))?;
        }
        if let Some(schema) = Self::schema(&operation.described["requestBody"])
            && let Some(complaint) = self.complaint(schema, body)
        {
            return Err(format!("{path}: {complaint}"));
        }
        let answers = operation.described["responses"].as_object().unwrap();
        let mut successes = answers.iter().filter(|(status, _)| status.starts_with('2'));
        let (status, answer) = match later {
            true => successes.next_back().unwrap(),
            false => successes.next().unwrap(),
        };
        let body = Self::schema(answer).map(|schema| self.example(schema, with));
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        Ok((status.parse().unwrap(), body))
    }
}
