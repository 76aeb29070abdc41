//! What Patroni says of a cluster: its answer to `GET /cluster`.
//!
//! Source: Patroni documentation, "Patroni REST API", "Cluster status endpoints".

use serde_json::Value;

use crate::config::Host;
use crate::config::member::{MOST_SERVERS, Member, Role};

/// Whoever holds the leader's key may be the primary, and nobody else; of a standby cluster the leader is a
/// replica of another one, and says so itself.
fn role(told: &str) -> Role {
    match told {
        "leader" | "master" | "primary" | "standby_leader" => Role::Primary,
        _ => Role::Replica,
    }
}

/// The servers of an answer, in the order of their names. What the configuration says of a server (`known`) holds
/// if Patroni says nothing else; `noloadbalance` keeps reads away.
///
/// # Errors
/// What is wrong with the answer.
pub fn read(answer: &[u8], known: &[Member]) -> Result<Vec<Member>, String> {
    let answer: Value = serde_json::from_slice(answer)
        .map_err(|error| format!("its answer is not as expected: {error}"))?;
    let told = answer.get("members").and_then(Value::as_array);
    let told = told.ok_or("its answer is not as expected: it has no members")?;
    let mut members: Vec<Member> = Vec::new();
    for one in told {
        // A member that is only just starting has no address yet.
        let host = one
            .get("host")
            .and_then(Value::as_str)
            .filter(|host| !host.is_empty());
        let port =
            (one.get("port").and_then(Value::as_u64)).and_then(|port| u16::try_from(port).ok());
        let (Some(host), Some(port)) = (host, port) else {
            continue;
        };
        let host = Host::parse(host.to_owned(), port);
        if members.iter().any(|member| member.host == host) {
            continue;
        }
        let mut member = (known.iter().find(|member| member.host == host))
            .cloned()
            .unwrap_or_else(|| Member::plain(host));
        member.role = role(one.get("role").and_then(Value::as_str).unwrap_or_default());
        let tag = |name: &str| one.get("tags").and_then(|tags| tags.get(name));
        let is_set = |name: &str| match tag(name) {
            Some(Value::Bool(set)) => *set,
            Some(Value::String(text)) => text == "true",
            _ => false,
        };
        if is_set("noloadbalance") {
            member.weight = 0;
        }
        if let Some(zone) = tag("zone").and_then(Value::as_str) {
            member.zone = zone.into();
        }
        members.push(member);
    }
    if members.is_empty() {
        return Err("it names no member that has an address".to_owned());
    }
    if members.len() > MOST_SERVERS {
        return Err(format!("it names more than {MOST_SERVERS} members"));
    }
    members.sort_by_key(|member| member.host.to_string());
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_as_patroni_writes_them() {
        let answer = br#"{"members": [
            {"name": "b", "role": "replica", "state": "streaming", "api_url": "http://10.0.0.2:8008/patroni",
             "host": "10.0.0.2", "port": 5432, "timeline": 3, "lag": 0, "tags": {"noloadbalance": true}},
            {"name": "a", "role": "leader", "state": "running", "host": "10.0.0.1", "port": 5432, "timeline": 3},
            {"name": "c", "role": "sync_standby", "state": "streaming", "host": "10.0.0.3", "port": 5433,
             "lag": "unknown", "tags": {"zone": "z", "clonefrom": true}},
            {"name": "d", "role": "replica", "state": "starting"}
        ], "scope": "demo"}"#;
        let known = [Member::parse("10.0.0.3:5433 weight=7 pool_size=3", 5432).expect("a server")];
        let members = read(answer, &known).expect("members");
        let told: Vec<_> = (members.iter())
            .map(|one| {
                (
                    one.host.to_string(),
                    one.role,
                    one.weight,
                    &*one.zone,
                    one.pool_size,
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("10.0.0.1:5432".to_owned(), Role::Primary, 1, "", None),
                ("10.0.0.2:5432".to_owned(), Role::Replica, 0, "", None),
                ("10.0.0.3:5433".to_owned(), Role::Replica, 7, "z", Some(3)),
            ]
        );
    }

    #[test]
    fn answers_that_say_nothing_change_nothing() {
        let many: Vec<String> = (0..65)
            .map(|n| format!("{{\"host\": \"h{n}\", \"port\": 1}}"))
            .collect();
        let many = format!("{{\"members\": [{}]}}", many.join(","));
        for (answer, told) in [
            ("", "not as expected"),
            ("{}", "not as expected"),
            ("{\"members\": []}", "no member"),
            (
                "{\"members\": [{\"name\": \"a\", \"role\": \"leader\"}]}",
                "no member",
            ),
            (many.as_str(), "more than 64"),
        ] {
            let error = read(answer.as_bytes(), &[]).expect_err(answer);
            assert!(error.contains(told), "{answer}: {error}");
        }
    }
}
