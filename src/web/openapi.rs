//! The API's description, made from its table: as an OpenAPI document and as a page for people.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::endpoints::{BASE, ENDPOINTS, Endpoint, Field, Source, Type};
use super::events::LISTENERS;
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

/// The OpenAPI document.
///
/// Source: OpenAPI Specification 3.1.
pub fn document() -> Value {
    let mut paths = Map::new();
    for endpoint in ENDPOINTS {
        let mistake = |text: &str| {
            json!({ "description": text, "content": { "application/json": { "schema": {
                "type": "object", "required": ["error"], "properties": { "error": { "type": "string" } },
            } } } })
        };
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
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "pgweir",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What pgweir's console shows, as JSON.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "paths": paths,
    })
}

/// The page `docs/api.md`.
pub fn markdown() -> String {
    let mut page = format!(
        "# The JSON API\n\nServed on the address of `http_listen` if that is a loopback address; see [config.md](config.md). What it tells is what the [console](console.md) tells, with the same names; times are in UTC. `{BASE}/openapi.json` describes it for machines. `{BASE}/events` is a stream of server-sent events: `overview`, once a second, with the same object as `{BASE}/overview`; at most {} listen at once. A change that breaks readers would get another number than `v1`; new fields may come.\n\nLists are objects with `at` (when it was taken), `total` (how many rows there are) and `rows`. `limit` is how many are wanted (usually {}, at most {}), `sort` the field that orders them (with `-` the greatest first), and the name of any field picks rows: `{BASE}/statements?sort=-server_us&limit=5&database=shop`. `*` at the end of a value stands for any rest. A mistake is answered with a status of 400 or more and an object whose `error` tells what is wrong.\n\nRequests must name a loopback address or `localhost` as their `Host`, so that no page of a stranger can have a browser ask, and must not come through a proxy.\n\n| address | what it is |\n|---|---|\n",
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
