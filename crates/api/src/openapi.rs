//! The OpenAPI document.

use actix_web::http::StatusCode;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, Object, OpenApi as Document, Ref, RefOr, ResponseBuilder,
    Schema, Type, schema::ArrayItems,
};
use utoipa::{Modify, OpenApi};

use crate::code::ErrorCode;
use crate::dto::{AgentEvent, DtmfEvent, HoldEvent, LineEvent, StatusEvent};
use crate::error::ErrorBody;
use crate::handlers::{
    assistants, calls, events, keys, livekit, outbound, recording, server, trunks,
};

/// The OpenAPI document of the API.
pub fn openapi() -> Document {
    Api::openapi()
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "outdial",
        description = "Places outbound phone calls for AI assistants.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    paths(
        outbound::place,
        assistants::create,
        assistants::list,
        assistants::read,
        assistants::change,
        assistants::delete,
        assistants::rotate,
        trunks::create,
        trunks::list,
        trunks::read,
        trunks::change,
        trunks::delete,
        calls::list,
        calls::read,
        calls::erase,
        calls::hang_up,
        calls::dtmf,
        calls::transcript,
        recording::read,
        calls::deliveries,
        calls::replay,
        events::follow,
        keys::create,
        keys::list,
        keys::revoke,
        livekit::webhook,
        server::healthz,
        server::readyz,
        server::metrics,
        server::openapi_json,
    ),
    components(schemas(ErrorBody<'_>, StatusEvent, LineEvent, AgentEvent, HoldEvent, DtmfEvent)),
    tags(
        (name = "calls", description = "Placing calls and seeing what became of them."),
        (name = "assistants", description = "What is said, by which agent, and what happens afterwards."),
        (name = "trunks", description = "How calls leave for the telephone network."),
        (name = "keys", description = "API keys."),
        (name = "server", description = "The server itself."),
    ),
    modifiers(&Common),
)]
struct Api;

/// What all routes have in common.
struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut Document) {
        describe_errors(document);
        add_security(document);
        require_what_is_always_there(document);
        for item in document.paths.paths.values_mut() {
            let operations = [&mut item.get, &mut item.post, &mut item.patch, &mut item.delete];
            for operation in operations.into_iter().flatten() {
                // `security(())` marks the routes without an API key.
                let secured = operation.security.is_none();
                let has_body = operation.request_body.is_some();
                let mut add = |status: StatusCode| {
                    let responses = &mut operation.responses.responses;
                    responses.entry(status.as_str().to_owned()).or_insert_with(|| {
                        RefOr::T(ResponseBuilder::new().description(codes(status)).build())
                    });
                };
                if secured {
                    add(StatusCode::BAD_REQUEST);
                    add(StatusCode::UNAUTHORIZED);
                    add(StatusCode::TOO_MANY_REQUESTS);
                    add(StatusCode::INTERNAL_SERVER_ERROR);
                    add(StatusCode::SERVICE_UNAVAILABLE);
                }
                if has_body {
                    add(StatusCode::BAD_REQUEST);
                    add(StatusCode::REQUEST_TIMEOUT);
                    add(StatusCode::PAYLOAD_TOO_LARGE);
                }
                for (status, response) in &mut operation.responses.responses {
                    if let RefOr::T(response) = response {
                        complete(status, response);
                    }
                }
            }
        }
    }
}

/// Every answer carries the request id, every error the same body.
fn complete(status: &str, response: &mut utoipa::openapi::Response) {
    let text = || Object::builder().schema_type(Type::String);
    let header =
        |what: &str| HeaderBuilder::new().schema(Some(text())).description(Some(what)).build();
    let id = header("The id of the request: the caller's own, or a fresh one.");
    response.headers.insert("x-request-id".to_owned(), id.into());
    if matches!(status, "429" | "503") {
        let wait = header("How many seconds to wait.");
        response.headers.insert("Retry-After".to_owned(), wait.into());
    }
    if status >= "400" {
        let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("Error"))).build();
        response.content.insert("application/json".to_owned(), body.into());
    }
}

/// All codes of a status, as they stand in the table.
fn codes(status: StatusCode) -> String {
    let codes: Vec<_> = ErrorCode::ALL
        .iter()
        .filter(|code| code.status() == status && **code != ErrorCode::NotReady)
        .map(|code| format!("`{}`", code.as_str()))
        .collect();
    format!("{}.", codes.join(", "))
}

/// In what is answered every key is always there, be it as `null`, unless its struct leaves it out.
fn require_what_is_always_there(document: &mut Document) {
    const BODIES: [&str; 8] = [
        "PlaceCall",
        "CreateAssistant",
        "ChangeAssistant",
        "RotateSecret",
        "CreateTrunk",
        "ChangeTrunk",
        "CreateKey",
        "SendDtmf",
    ];
    let components = document.components.get_or_insert_default();
    for (name, schema) in &mut components.schemas {
        if !BODIES.contains(&name.as_str()) {
            require_all(schema);
        }
    }
}

fn require_all(schema: &mut RefOr<Schema>) {
    const LEFT_OUT: [&str; 2] = ["participant", "details"];
    match schema {
        RefOr::T(Schema::Object(object)) => {
            let always = object.properties.keys().filter(|key| !LEFT_OUT.contains(&key.as_str()));
            object.required = always.cloned().collect();
            object.properties.values_mut().for_each(require_all);
        }
        RefOr::T(Schema::Array(array)) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                require_all(items);
            }
        }
        RefOr::T(Schema::AllOf(all)) => all.items.iter_mut().for_each(require_all),
        RefOr::T(Schema::OneOf(one)) => one.items.iter_mut().for_each(require_all),
        _ => {}
    }
}

fn describe_errors(document: &mut Document) {
    let table: String = ErrorCode::ALL
        .iter()
        .map(|code| {
            format!("| `{}` | {} | {} |\n", code.as_str(), code.status().as_u16(), code.meaning())
        })
        .collect();
    let text = document.info.description.get_or_insert_default();
    text.push_str(
        "\n\nEvery success is `{\"success\": true, \"message\", \"data\"}`, every error \
         `{\"success\": false, \"message\", \"error\": {\"code\", \"field\", \"hint\"}}`. \
         Times are ISO 8601 in UTC with milliseconds. Bodies are JSON of at most 64 KiB, nested 32 \
         levels at most, no key twice.\n\n## Error codes\n\n| code | status | meaning |\n\
         | :--- | :--- | :--- |\n",
    );
    text.push_str(&table);
}

fn add_security(document: &mut Document) {
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(
        "api_key",
        SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("x-api-key"))),
    );
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    document.security = Some(vec![
        SecurityRequirement::new("api_key", Vec::<String>::new()),
        SecurityRequirement::new("bearer", Vec::<String>::new()),
    ]);
}
