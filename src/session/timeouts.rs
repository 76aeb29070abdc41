//! Which time limits a client has passed: one function over what others see of it. A tick of the
//! worker calls it; no timer runs per query.

use std::time::{Duration, Instant};

use crate::session::clients::{ClientShared, ClientState, Signal};

/// The limits of one client. Zero switches a limit off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeLimits {
    /// Login, up to the welcome.
    pub login: Duration,
    /// Idle outside a transaction.
    pub client_idle: Duration,
    /// A query.
    pub query: Duration,
    /// Waiting for a server.
    pub query_wait: Duration,
    /// Waiting before the client is told that it waits.
    pub query_wait_notify: Duration,
    /// Idle in a transaction.
    pub idle_transaction: Duration,
    /// A transaction.
    pub transaction: Duration,
    /// `server_fast_close`: clients do not keep servers that have to go until they leave.
    pub fast_close: bool,
}

/// How long a client may take to read our last words.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Signals for what `client` has passed by `now`.
pub fn due(client: &ClientShared, limits: &TimeLimits, now: Instant) -> Option<Signal> {
    let passed = |limit: Duration, since: Instant| {
        !limit.is_zero() && now.saturating_duration_since(since) >= limit
    };
    if let Some(since) = client.closing.get() {
        return passed(LAST_WORDS, since).then_some(Signal::KILL);
    }
    let since = client.since.get();
    if client.logging_in.get() {
        return passed(limits.login, since_start(client, now)).then_some(Signal::LOGIN_TIMEOUT);
    }
    match client.state.get() {
        ClientState::Idle => passed(limits.client_idle, since).then_some(Signal::IDLE_TIMEOUT),
        ClientState::Waiting => {
            if passed(limits.query_wait, since) {
                return Some(Signal::WAIT_TIMEOUT);
            }
            let tell = passed(limits.query_wait_notify, since) && !client.notified.replace(true);
            tell.then_some(Signal::WAIT_NOTIFY)
        }
        ClientState::Active => {
            let transaction = client.xact_since.get();
            if let Some(since) = client.query_since.get()
                && passed(limits.query, since)
            {
                return Some(Signal::QUERY_TIMEOUT);
            }
            if let Some(began) = transaction
                && passed(limits.transaction, began)
            {
                return Some(Signal::TRANSACTION_TIMEOUT);
            }
            let quiet = client.query_since.get().is_none();
            if limits.fast_close && quiet && transaction.is_none() && must_go(client) {
                return Some(Signal::SERVER_GOES);
            }
            let idle = quiet && transaction.is_some();
            (idle && passed(limits.idle_transaction, since))
                .then_some(Signal::IDLE_TRANSACTION_TIMEOUT)
        }
    }
}

fn must_go(client: &ClientShared) -> bool {
    (client.server.borrow().as_ref()).is_some_and(|server| server.close_needed.get())
}

fn since_start(client: &ClientShared, now: Instant) -> Instant {
    let age = client.connected.elapsed().unwrap_or_default();
    now.checked_sub(age).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::PeerAddr;
    use crate::session::clients::Identity;

    #[test]
    fn each_limit_applies_in_its_state() {
        let client = ClientShared::new(Identity {
            id: 1,
            user: "u".into(),
            database: "d".into(),
            addr: PeerAddr::Unix,
            local_port: 0,
            target: None,
            tls: "".into(),
            application_name: "".into(),
        });
        client.logging_in.set(false);
        let second = Duration::from_secs(1);
        let limits = TimeLimits {
            login: second,
            client_idle: second * 2,
            query: second * 3,
            query_wait: second * 4,
            query_wait_notify: second,
            idle_transaction: second * 5,
            transaction: second * 6,
            fast_close: true,
        };
        let start = Instant::now();
        let at = |n: u32| due(&client, &limits, start + second * n);
        client.enter(ClientState::Idle, start);
        assert_eq!((at(1), at(2)), (None, Some(Signal::IDLE_TIMEOUT)));
        client.enter(ClientState::Waiting, start);
        assert_eq!(at(1), Some(Signal::WAIT_NOTIFY));
        assert_eq!((at(2), at(4)), (None, Some(Signal::WAIT_TIMEOUT)));
        client.enter(ClientState::Active, start);
        assert_eq!(at(100), None, "pinned but idle");
        client.query_since.set(Some(start));
        client.xact_since.set(Some(start));
        assert_eq!((at(2), at(3)), (None, Some(Signal::QUERY_TIMEOUT)));
        client.query_since.set(None);
        assert_eq!(
            (at(4), at(5)),
            (None, Some(Signal::IDLE_TRANSACTION_TIMEOUT))
        );
        assert_eq!(at(6), Some(Signal::TRANSACTION_TIMEOUT));
        assert_eq!(
            due(&client, &TimeLimits::default(), start + second * 1000),
            None
        );
    }
}
