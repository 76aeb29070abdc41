//! Commands of operators as requests: who may, what is written down.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use serde_json::{Map, Value};

use super::access::{self, Visitor};
use super::actions::{Action, act};
use super::api::Refused;
use super::reply::{Body, json};
use super::{HEAD, Site};
use crate::audit::observer::Report;
use crate::lint::observe::{Event, Observation, Subject};

/// Longest body of a request, in bytes.
pub(super) const BODY_BYTES: usize = 16 * 1024;

/// Longest name of a command that is written down; there are none so long.
const LONGEST_COMMAND: usize = 64;

/// What the audit trail calls the database of operators.
const CONSOLE_NAME: &str = "pgweir";

impl Site {
    /// Carries a command out and writes down who gave it.
    pub(super) async fn command(
        &self,
        name: &str,
        request: Request<Incoming>,
        peer: SocketAddr,
        visitor: &Visitor,
    ) -> Response<Body> {
        let outcome = match access::may_act(visitor, request.headers()) {
            Err(refused) => Err(refused),
            Ok(()) => self.carry_out(name, request).await,
        };
        let user = visitor.user.as_deref().unwrap_or_default();
        self.write_down(name, user, peer, &outcome);
        match outcome {
            Ok((asked, answer)) => {
                tracing::info!(user, addr = %peer, command = name, %asked, "an operator's command over HTTP");
                json(StatusCode::OK, &answer)
            }
            Err(refused) => {
                tracing::warn!(user, addr = %peer, command = name, error = refused.1, "a command over HTTP was not carried out");
                self.refuse(&refused, true)
            }
        }
    }

    /// A line in the audit trail, if there is one.
    fn write_down(
        &self,
        name: &str,
        user: &str,
        peer: SocketAddr,
        outcome: &Result<(Value, Value), Refused>,
    ) {
        let process = self.env.control.process();
        if !process.audits {
            return;
        }
        let (asked, refused) = match outcome {
            Ok((asked, _)) => (asked.to_string(), String::new()),
            Err(refused) => (String::new(), refused.1.clone()),
        };
        let now = process.observer.micros(Instant::now());
        let subject = Subject {
            database: CONSOLE_NAME.into(),
            user: user.into(),
            app: "http".into(),
            client: peer.ip().to_string().into(),
        };
        let command: String = name.chars().take(LONGEST_COMMAND).collect();
        let report = Report {
            seen: Observation {
                conn: 0,
                subject: Arc::new(subject),
                sent_us: now,
                done_us: now,
                event: Event::Commanded {
                    command: command.into(),
                    asked: asked.into(),
                    refused: refused.into(),
                },
            },
            hits: None,
            suppressed: None,
        };
        // What has no room is counted by the trail itself.
        process.observer.hand_over(&mut vec![report], false);
    }

    async fn carry_out(
        &self,
        name: &str,
        request: Request<Incoming>,
    ) -> Result<(Value, Value), Refused> {
        let bad = |status, told: &str| Refused(status, told.to_owned());
        let action = Action::find(name)
            .ok_or_else(|| bad(StatusCode::NOT_FOUND, "there is no such command"))?;
        let body = Limited::new(request.into_body(), BODY_BYTES).collect();
        let body = crate::timer::timeout(HEAD, body).await;
        let body = match body {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => {
                return Err(bad(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "the body cannot be read or is too long",
                ));
            }
            Err(_) => return Err(bad(StatusCode::REQUEST_TIMEOUT, "the body did not come")),
        };
        let body: Map<String, Value> = serde_json::from_slice(&body)
            .map_err(|_| bad(StatusCode::BAD_REQUEST, "the body is no JSON object"))?;
        let answer = act(&self.env, action, &body).await?;
        Ok((Value::Object(body), answer))
    }
}
