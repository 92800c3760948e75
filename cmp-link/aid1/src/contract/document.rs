//! Writes the OpenAPI 3.1 document of an API from the contracts of its operations.

use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathsBuilder,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ComponentsBuilder, ObjectBuilder, Ref, Schema};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, PathItem, RefOr, Required,
    ResponseBuilder,
};

use super::{Contract, Success, Variable, schema};
use crate::operation::Api;

/// Name of the body of §5.5.
const ERROR: &str = "Error";

/// `[A-Za-z0-9]` of §5.1.
const PARTY: &str = "^[A-Za-z0-9]+$";

/// The document of one side's API.
fn document<A: Api>() -> OpenApi {
    let mut components = ComponentsBuilder::new()
        .security_scheme(
            "apiKey",
            SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("api-key"))),
        )
        .security_scheme(
            "basicAuth",
            SecurityScheme::Http(Http::new(HttpAuthScheme::Basic)),
        )
        .schema(ERROR, error());
    let mut paths = PathsBuilder::new();
    for contract in A::ALL.iter().map(|operation| operation.contract()) {
        let answers = contract.successes.iter().filter_map(|success| success.body);
        for body in contract.request.into_iter().chain(answers) {
            components = components.schema(body.name, (body.schema)());
        }
        let item = PathItem::new(method(contract), describe(contract));
        paths = paths.path(contract.path.to_string(), item);
    }
    let info = InfoBuilder::new()
        .title(A::TITLE)
        .description(Some(A::ABOUT))
        .version(env!("CARGO_PKG_VERSION"));
    OpenApiBuilder::new()
        .info(info)
        .paths(paths)
        .components(Some(components.build()))
        .security(Some(["apiKey", "basicAuth"].map(|scheme| {
            SecurityRequirement::new(scheme, std::iter::empty::<String>())
        })))
        .build()
}

/// The OpenAPI 3.1 document of one side's API, as JSON.
#[must_use]
pub fn openapi<A: Api>() -> String {
    // Texts and numbers in maps with text keys: that always serialises.
    serde_json::to_string(&document::<A>()).unwrap_or_default()
}

fn method(contract: &Contract) -> HttpMethod {
    match contract.method.as_str() {
        "GET" => HttpMethod::Get,
        "PATCH" => HttpMethod::Patch,
        "DELETE" => HttpMethod::Delete,
        _ => HttpMethod::Post,
    }
}

fn describe(contract: &Contract) -> OperationBuilder {
    let mut described = OperationBuilder::new()
        .operation_id(Some(contract.id))
        .summary(Some(contract.name))
        .description(Some(contract.about));
    for parameter in parameters(contract) {
        described = described.parameter(parameter);
    }
    if let Some(body) = contract.request {
        let content = ContentBuilder::new().schema(Some(by_name(body.name)));
        described = described.request_body(Some(
            RequestBodyBuilder::new()
                .content("application/json", content.build())
                .required(Some(Required::True))
                .build(),
        ));
    }
    for success in contract.successes {
        described = described.response(success.status.as_str(), response(success));
    }
    for refused in contract.refusals {
        described = described.response(refused.status.as_str(), refusal(refused.when));
    }
    let any = "Any other refusal: 403, 405, 408, 413, 414, 415, 429, 431, 503.";
    described.response("default", refusal(any))
}

fn parameters(contract: &Contract) -> Vec<Parameter> {
    let party = |about| schema::text(about).pattern(Some(PARTY));
    let parameter = |name: &str, place, required: bool, schema: ObjectBuilder| {
        ParameterBuilder::new()
            .name(name)
            .parameter_in(place)
            .required(if required {
                Required::True
            } else {
                Required::False
            })
            .schema(Some(Schema::from(schema)))
            .build()
    };
    let header = |name, schema| parameter(name, ParameterIn::Header, true, schema);
    let variable = contract.path.variable;
    let path = match variable {
        Variable::AccountId => schema::text("The account id, a JSON web token (§5.2)."),
        Variable::MspToken => schema::uuid("The user at this MSP (§5.3)."),
    };
    let mut list = vec![
        header(
            "CMP-request-id",
            schema::uuid("This request; the same on a repetition."),
        ),
        header("correlation-id", schema::uuid("The transaction.")),
        header("client-id", party("The caller.")),
        header("target-id", party("The called party.")),
        parameter(variable.name(), ParameterIn::Path, true, path),
    ];
    if let Some(name) = contract.query {
        let text = schema::text("One profile only: 19 to 22 digits (§5.4).");
        list.push(parameter(name, ParameterIn::Query, false, text));
    }
    list
}

fn by_name(name: &str) -> RefOr<Schema> {
    Ref::from_schema_name(name).into()
}

fn response(success: &Success) -> ResponseBuilder {
    let response = ResponseBuilder::new().description(success.when);
    match success.body {
        None => response,
        Some(body) => response.content(
            "application/json",
            ContentBuilder::new()
                .schema(Some(by_name(body.name)))
                .build(),
        ),
    }
}

fn refusal(when: &str) -> ResponseBuilder {
    let content = ContentBuilder::new().schema(Some(by_name(ERROR)));
    ResponseBuilder::new()
        .description(when)
        .content("application/json", content.build())
}

/// The body of §5.5.
fn error() -> Schema {
    let members = [
        ("code", schema::text("Code of §5.5, digits in a text.")),
        (
            "error",
            schema::text("What is wrong, for the caller's log."),
        ),
    ];
    schema::object(members, &["code", "error"])
        .description(Some("Body of every answer that is not 2xx (§5.5)."))
        .into()
}
