//! Schemas of single members, in the words of JSON Schema.

use utoipa::openapi::schema::{
    ArrayBuilder, ObjectBuilder, Schema, SchemaFormat, SchemaType, Type,
};

/// A text.
pub(crate) fn text(about: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(about))
}

/// A UUID.
pub(crate) fn uuid(about: &str) -> ObjectBuilder {
    text(about).format(Some(SchemaFormat::Custom("uuid".into())))
}

/// One of these words.
pub(crate) fn word(about: &str, words: &[&str]) -> ObjectBuilder {
    text(about).enum_values(Some(words.iter().copied()))
}

/// One of these words, or null.
pub(crate) fn word_or_null(about: &str, words: &[&str]) -> ObjectBuilder {
    let words = words.iter().map(|word| serde_json::Value::from(*word));
    or_null(text(about)).enum_values(Some(words.chain([serde_json::Value::Null])))
}

/// The same, or null.
pub(crate) fn or_null(text: ObjectBuilder) -> ObjectBuilder {
    text.schema_type(SchemaType::Array(vec![Type::String, Type::Null]))
}

/// Whatever JSON there is.
pub(crate) fn anything(about: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(SchemaType::AnyValue)
        .description(Some(about))
}

/// An object of these members; the `required` ones must be there.
pub(crate) fn object<const N: usize>(
    members: [(&str, ObjectBuilder); N],
    required: &[&str],
) -> ObjectBuilder {
    let object = ObjectBuilder::new().schema_type(Type::Object);
    let object = members.into_iter().fold(object, |object, (name, member)| {
        object.property(name, Schema::from(member))
    });
    required
        .iter()
        .fold(object, |object, name| object.required(*name))
}

/// An object whose one member is a list of such objects.
pub(crate) fn list(name: &str, about: &str, item: ObjectBuilder) -> Schema {
    let items = ArrayBuilder::new().items(item).description(Some(about));
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .property(name, Schema::from(items))
        .required(name)
        .into()
}
