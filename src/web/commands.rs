//! Commands of operators as requests: who may, what is written down.

use std::net::SocketAddr;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use serde_json::{Map, Value};

use super::access::{self, Visitor};
use super::actions::{Action, act};
use super::api::Refused;
use super::reply::{Body, json};
use super::{HEAD, Site};
use crate::admin::operator::Operator;

/// Longest body of a request, in bytes.
pub(super) const BODY_BYTES: usize = 16 * 1024;

/// Somebody as the audit trail knows them.
pub(super) fn visitor_at(user: &str, peer: SocketAddr) -> Operator {
    Operator {
        conn: 0,
        user: user.to_owned(),
        app: "http".to_owned(),
        addr: peer.ip().to_string(),
    }
}

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
        let (asked, refused) = match outcome {
            Ok((asked, _)) => (asked.to_string(), String::new()),
            Err(refused) => (String::new(), refused.1.clone()),
        };
        let operator = visitor_at(user, peer);
        operator.commanded(self.env.control.process(), name, asked, refused);
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
