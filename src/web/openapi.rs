//! The API's description, made from its table: as an OpenAPI document and as a page for people.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::actions::{ACTIONS, Action};
use super::endpoints::{BASE, ENDPOINTS, Endpoint, Source};
use super::events::LISTENERS;
use super::fields::{Field, Type};
use super::query;

fn schema(field: &Field) -> Value {
    let kind = match field.kind {
        Type::Text => "string",
        Type::Integer => "integer",
        Type::Number => "number",
        Type::Flag => "boolean",
        Type::Object => "object",
        Type::List => "array",
    };
    let mut schema = json!({ "type": [kind, "null"] });
    if let Some(map) = schema.as_object_mut() {
        if !field.about.is_empty() {
            map.insert("description".to_owned(), field.about.into());
        }
        if field.kind == Type::List {
            map.insert("items".to_owned(), json!({}));
        }
    }
    schema
}

fn object(fields: &[Field]) -> Value {
    let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
    let properties: Map<String, Value> = (fields.iter())
        .map(|field| (field.name.to_owned(), schema(field)))
        .collect();
    json!({ "type": "object", "required": names, "properties": properties })
}

fn answer(endpoint: &Endpoint) -> Value {
    let fields = endpoint.fields();
    if !endpoint.lists() {
        return object(&fields);
    }
    json!({
        "type": "object",
        "required": ["at", "total", "rows"],
        "properties": {
            "at": { "type": "string", "description": "When it was taken." },
            "total": { "type": "integer", "description": "Rows that there are, beyond `limit` too." },
            "rows": { "type": "array", "items": object(&fields) },
        },
    })
}

fn parameters(endpoint: &Endpoint) -> Vec<Value> {
    let mut all = Vec::new();
    if endpoint.path.contains("{id}") {
        all.push(
            json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } }),
        );
    }
    if endpoint.takes_parameters() {
        let fields = endpoint.fields();
        let orders: Vec<String> = (fields.iter())
            .flat_map(|field| [field.name.to_owned(), format!("-{}", field.name)])
            .collect();
        all.push(json!({
            "name": "limit", "in": "query", "description": "Rows at most.",
            "schema": { "type": "integer", "minimum": 1, "maximum": query::MOST, "default": query::USUAL },
        }));
        all.push(json!({
            "name": "sort", "in": "query", "description": "By this field; with `-` the greatest first.",
            "schema": { "type": "string", "enum": orders },
        }));
        for field in &fields {
            all.push(json!({
                "name": field.name, "in": "query", "description": "Only rows with this value; `*` at its end stands for any rest.",
                "schema": { "type": "string" },
            }));
        }
    }
    all
}

fn mistake(text: &str) -> Value {
    json!({ "description": text, "content": { "application/json": { "schema": {
        "type": "object", "required": ["error"], "properties": { "error": { "type": "string" } },
    } } } })
}

fn post(action: &Action) -> Value {
    let fields = action.takes.fields();
    let needed: Vec<&str> = (fields.iter())
        .filter(|(_, needed, _)| *needed)
        .map(|(name, ..)| *name)
        .collect();
    let properties: Map<String, Value> = (fields.iter())
        .map(|(name, _, about)| ((*name).to_owned(), json!({ "description": about })))
        .collect();
    let body = json!({ "type": "object", "required": needed, "properties": properties, "additionalProperties": false });
    let done = json!({
        "type": "object", "required": ["done", "notices"],
        "properties": { "done": { "type": "string" }, "notices": { "type": "array", "items": { "type": "string" } } },
    });
    json!({ "post": {
        "summary": action.about,
        "security": [{ "operator": [] }],
        "parameters": [{ "name": "X-Pgweir", "in": "header", "required": true, "schema": { "type": "string" } }],
        "requestBody": { "required": true, "content": { "application/json": { "schema": body } } },
        "responses": {
            "200": { "description": "It was done.", "content": { "application/json": { "schema": done } } },
            "4XX": mistake("It was not done; `error` tells why."),
        },
    } })
}

/// The OpenAPI document.
///
/// Source: OpenAPI Specification 3.1.
pub fn document() -> Value {
    let mut paths = Map::new();
    for endpoint in ENDPOINTS {
        let get = json!({ "get": {
            "summary": endpoint.about,
            "parameters": parameters(endpoint),
            "responses": {
                "200": {
                    "description": "What was asked for.",
                    "content": { "application/json": { "schema": answer(endpoint) } },
                },
                "4XX": mistake("A mistake of the caller; `error` tells which."),
            },
        } });
        paths.insert(format!("{BASE}{}", endpoint.path), get);
    }
    for action in ACTIONS {
        paths.insert(format!("{BASE}/actions/{}", action.name), post(action));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "pgweir",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What pgweir's console shows, as JSON.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": { "securitySchemes": { "operator": { "type": "http", "scheme": "basic" } } },
    })
}

/// The page `docs/api.md`.
pub fn markdown() -> String {
    let mut page = format!(
        "# The JSON API\n\nServed on the address of `http_listen`: without a login on a loopback address, else to users who log in; see [dashboard.md](dashboard.md). What it tells is what the [console](console.md) tells, with the same names; times are in UTC. `{BASE}/openapi.json` describes it for machines. `{BASE}/events` is a stream of server-sent events: `overview`, once a second, with the same object as `{BASE}/overview`; at most {} listen at once. A change that breaks readers would get another number than `v1`; new fields may come.\n\nLists are objects with `at` (when it was taken), `total` (how many rows there are) and `rows`. `limit` is how many are wanted (usually {}, at most {}), `sort` the field that orders them (with `-` the greatest first), and the name of any field picks rows: `{BASE}/statements?sort=-server_us&limit=5&database=shop`. `*` at the end of a value stands for any rest. A mistake is answered with a status of 400 or more and an object whose `error` tells what is wrong.\n\nWithout `http_login = true` requests must name a loopback address or `localhost` as their `Host`, so that no page of a stranger can have a browser ask, and must not come through a proxy.\n\n| address | what it is |\n|---|---|\n",
        LISTENERS,
        query::USUAL,
        query::MOST,
    );
    for endpoint in ENDPOINTS {
        // Writing to a string cannot fail.
        let _ = writeln!(
            page,
            "| `GET {BASE}{}` | {} |",
            endpoint.path, endpoint.about
        );
    }
    page.push_str(&format!(
        "\n## Commands\n\nUsers of `admin_users` may send what follows, with their password (HTTP Basic), a JSON object as the body, `Content-Type: application/json` and the header `X-Pgweir` with any value, which no page of a stranger can send: `curl -u ann -H 'X-Pgweir: 1' -H 'Content-Type: application/json' -d '{{\"database\": \"shop\"}}' http://127.0.0.1:6433{BASE}/actions/pause`. Who did what from where is logged and in the audit trail. The answer has `done`, the console's word, and its `notices`.\n\n| address | what it does | fields of the body |\n|---|---|---|\n",
    ));
    for action in ACTIONS {
        let fields: Vec<String> = (action.takes.fields().iter())
            .map(|(name, needed, about)| match needed {
                true => format!("`{name}`: {about}"),
                false => format!("`{name}`, optional: {about}"),
            })
            .collect();
        let _ = writeln!(
            page,
            "| `POST {BASE}/actions/{}` | {} | {} |",
            action.name,
            action.about,
            fields.join(" ")
        );
    }
    for endpoint in ENDPOINTS {
        let about: Vec<Field> = (endpoint.fields().into_iter())
            .filter(|field| !field.about.is_empty())
            .collect();
        if about.is_empty() {
            continue;
        }
        let what = match endpoint.source {
            Source::Show { .. } => "beyond the columns of the SHOW",
            _ => "fields",
        };
        let _ = write!(
            page,
            "\n## `{}`: {what}\n\n| field | what it tells |\n|---|---|\n",
            endpoint.path
        );
        for field in about {
            let _ = writeln!(page, "| `{}` | {} |", field.name, field.about);
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `PGWEIR_WRITE_DOCS=1` writes the page.
    #[test]
    fn the_page_is_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/api.md");
        if std::env::var_os("PGWEIR_WRITE_DOCS").is_some() {
            std::fs::write(path, markdown()).expect("written");
        }
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            page == markdown(),
            "docs/api.md is not what the table says: run this test with PGWEIR_WRITE_DOCS=1"
        );
    }
}
