//! JSON of the API as D-Bus values: objects are `a{sv}`, lists `av`, whole numbers `x`; what is null is absent.

use serde_json::Value;
use std::collections::BTreeMap;
use zbus::{OwnedVariant, Variant};

/// Members of an object.
pub(super) type Members = BTreeMap<String, OwnedVariant>;

/// The members of a JSON object; none of another value.
pub(super) fn members(value: &Value) -> zbus::Result<Members> {
    let members = value.as_object().into_iter().flatten();
    members
        .filter_map(|(name, value)| Some((name.clone(), variant(value)?)))
        .map(|(name, value)| Ok((name, OwnedVariant::try_from(value)?)))
        .collect()
}

/// The value; `None` for null.
fn variant(value: &Value) -> Option<Variant<'static>> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(is) => Variant::from(*is),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Variant::from(whole),
            None => Variant::from(number.as_f64()?),
        },
        Value::String(text) => Variant::from(text.clone()),
        Value::Array(items) => Variant::from(items.iter().filter_map(variant).collect::<Vec<_>>()),
        Value::Object(members) => {
            let members = members.iter();
            let present = members.filter_map(|(name, value)| Some((name.clone(), variant(value)?)));
            Variant::from(present.collect::<BTreeMap<String, Variant<'static>>>())
        }
    })
}

/// A boolean, number or string as JSON; `None` for any other type.
pub(super) fn scalar(value: &Variant<'_>) -> Option<Value> {
    Some(match value {
        Variant::Bool(is) => Value::from(*is),
        Variant::U8(n) => Value::from(*n),
        Variant::I16(n) => Value::from(*n),
        Variant::U16(n) => Value::from(*n),
        Variant::I32(n) => Value::from(*n),
        Variant::U32(n) => Value::from(*n),
        Variant::I64(n) => Value::from(*n),
        Variant::U64(n) => Value::from(*n),
        // Not finite: null, which no signal accepts.
        Variant::F64(n) => Value::from(*n),
        Variant::Str(text) => Value::from(text.as_str()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_become_dictionaries_and_null_is_absent() {
        let value = json!({"a": 1, "b": null, "c": {"d": [1.5, "x", null, true]}});
        let members = members(&value).expect("members");
        assert_eq!(members.keys().collect::<Vec<_>>(), ["a", "c"]);
        let signatures: Vec<String> = members
            .values()
            .map(|v| v.value_signature().to_string())
            .collect();
        assert_eq!(signatures, ["x", "a{sv}"]);
        assert_eq!(members.len(), 2);
        assert!(super::members(&json!([1])).expect("members").is_empty());
    }

    #[test]
    fn only_scalars_are_signals() {
        assert_eq!(scalar(&Variant::from(50_u8)), Some(json!(50)));
        assert_eq!(scalar(&Variant::from(-3.5)), Some(json!(-3.5)));
        assert_eq!(scalar(&Variant::from(f64::NAN)), Some(Value::Null));
        assert_eq!(scalar(&Variant::from("ON")), Some(json!("ON")));
        assert_eq!(scalar(&Variant::from(vec![1_u8])), None);
    }
}
