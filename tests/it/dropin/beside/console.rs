//! The console: columns, commands and errors.

use super::{Differ, Pair, outcome, same};
use crate::dropin::original::PgBouncer;
use crate::support::message::Message;
use crate::support::peer::Peer;
use crate::support::scene;

/// Name, type, length, modifier and format of each column of a RowDescription.
fn columns(messages: &[Message]) -> Vec<(String, Vec<u8>)> {
    let Some(description) = messages.iter().find(|m| m.tag == b'T') else {
        return Vec::new();
    };
    let mut rest = &description.body[2..];
    let mut columns = Vec::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == 0).expect("a name");
        let name = String::from_utf8_lossy(&rest[..end]).into_owned();
        columns.push((name, rest[end + 1..end + 19].to_vec()));
        rest = &rest[end + 19..];
    }
    columns
}

/// Columns that later versions of PgBouncer than the packaged one call otherwise.
const RENAMED: [(&str, &str); 1] = [("reserve_pool", "reserve_pool_size")];

#[test]
fn every_show_has_the_columns_of_pgbouncer() {
    let Some(pair) = Pair::start("") else { return };
    let [mut theirs, mut ours] = pair.consoles("postgres");
    let version = PgBouncer::version(&theirs.value("SHOW VERSION"));
    let help = theirs.query("SHOW HELP");
    let help = help.iter().find(|m| m.tag == b'N').expect("a notice");
    let list = help.report().field('D').to_owned();
    let words: Vec<&str> = list
        .split(|c: char| !c.is_ascii_uppercase() && c != '_')
        .skip_while(|word| *word != "HELP")
        .skip(1)
        .take_while(|word| *word != "SET")
        .filter(|word| !matches!(*word, "" | "SHOW" | "FDS"))
        .collect();
    assert!(words.len() > 15, "{list}");
    for word in words {
        let show = format!("SHOW {word}");
        let (theirs, ours) = (columns(&theirs.query(&show)), columns(&ours.query(&show)));
        assert!(!theirs.is_empty(), "{show}");
        let mut left = ours.iter();
        for (name, kind) in &theirs {
            let renamed = RENAMED.iter().find(|(old, _)| old == name);
            let name = renamed.map_or(name.as_str(), |(_, new)| new);
            let found = left.find(|(ours, _)| ours == name);
            let (_, ours) = found.unwrap_or_else(|| panic!("{show} has no {name} in its place"));
            assert_eq!(ours, kind, "{show}: {name}");
        }
        // Newer ones have all of ours that are not at the end.
        if version >= 126 {
            let names = |all: &[(String, Vec<u8>)]| all.iter().map(|c| c.0.clone()).collect();
            let (theirs, ours): (Vec<String>, Vec<String>) = (names(&theirs), names(&ours));
            assert_eq!(ours[..theirs.len()], theirs, "{show}");
        }
    }
    // What tells who is there.
    let rows = |peer: &mut Peer, show: &str| scene::values(&peer.query(show));
    for show in ["SHOW DATABASES", "SHOW USERS", "SHOW POOLS"] {
        assert_eq!(rows(&mut ours, show), rows(&mut theirs, show), "{show}");
    }
}

/// Command, our SQLSTATE, and the texts if they differ.
const COMMANDS: &[(&str, &str, Differ)] = &[
    ("FROB", "42601", None),
    ("SHOW", "42601", None),
    ("SHOW NOTHING", "42601", None),
    ("SHOW POOLS x", "42601", None),
    ("SELECT 1", "42601", None),
    ("SHOW \"POOLS\";", "", None),
    ("\"SHOW\" POOLS", "", None),
    // Drivers ask whether a connection lives with an empty query.
    (";", "", Some(("invalid command", "no answer"))),
    (
        "SHOW POOLS; SHOW POOLS",
        "42601",
        Some(("invalid command", "only one command at a time")),
    ),
    ("RESUME", "55000", None),
    ("RESUME app", "55000", None),
    ("PAUSE", "", None),
    ("PAUSE", "55000", None),
    ("PAUSE app", "55000", None),
    ("RESUME app", "55000", None),
    ("RESUME", "", None),
    ("PAUSE app", "", None),
    ("PAUSE app", "", None),
    ("RESUME app", "", None),
    ("PAUSE \"app\"", "", None),
    ("PAUSE 'app'", "42601", None),
    // Takes every pause back, as nobody can tell which there are.
    (
        "RESUME",
        "",
        Some(("pooler is not paused/suspended", "RESUME")),
    ),
    (
        "RESUME app",
        "55000",
        Some(("RESUME", "database app is not paused")),
    ),
    ("PAUSE nodb", "3D000", None),
    ("RESUME nodb", "3D000", None),
    ("PAUSE APP", "3D000", None),
    ("PAUSE pgbouncer", "0A000", None),
    ("RESUME pgbouncer", "55000", None),
    ("DISABLE", "42601", None),
    ("ENABLE", "42601", None),
    ("DISABLE nodb", "3D000", None),
    ("DISABLE App", "3D000", None),
    ("ENABLE nodb", "3D000", None),
    ("DISABLE pgbouncer", "0A000", None),
    (
        "ENABLE pgbouncer",
        "0A000",
        Some(("cannot disable admin db", "cannot enable admin db")),
    ),
    ("RECONNECT nodb", "3D000", None),
    ("RECONNECT pgbouncer", "0A000", None),
    ("RECONNECT", "", None),
    ("RECONNECT app", "", None),
    ("RECONNECT app x", "42601", None),
    ("WAIT_CLOSE", "", None),
    ("WAIT_CLOSE app", "", None),
    ("WAIT_CLOSE nodb", "3D000", None),
    ("WAIT_CLOSE pgbouncer", "0A000", None),
    ("KILL nodb", "3D000", None),
    ("KILL pgbouncer", "0A000", None),
    ("KILL app", "", None),
    ("RESUME app", "", None),
    ("SET", "42601", None),
    ("SET x", "42601", None),
    ("SET x = 1", "22023", None),
    ("SET query_timeout = abc", "22023", None),
    ("SET pool_mode = foo", "22023", None),
    ("SET max_client_conn = x", "22023", None),
    ("SET verbose = 1", "", None),
    ("SET verbose TO '0'", "", None),
    ("SET \"verbose\" = \"0\"", "", None),
    ("SET server_reset_query = ''", "", None),
    // PgBouncer takes what it applies at the next start only.
    (
        "SET listen_port = 5",
        "22023",
        Some(("SET listen_port=5", "SET failed: listen_port takes")),
    ),
    ("SET DateStyle = 'ISO'", "", None),
    ("RELOAD x", "42601", None),
    ("RELOAD", "", None),
    ("SHUTDOWN soon", "42601", None),
];

#[test]
fn commands_and_their_errors() {
    let Some(pair) = Pair::start("") else { return };
    let [mut theirs, mut ours] = pair.consoles("postgres");
    for (command, sqlstate, differ) in COMMANDS {
        let both = [&mut theirs, &mut ours].map(|peer| outcome(&peer.query(command)));
        same(command, both, sqlstate, *differ);
    }
    let [mut theirs, mut ours] = pair.consoles("t_trust");
    for (command, sqlstate) in [
        ("SHOW POOLS", ""),
        ("SET DateStyle = 'ISO'", ""),
        ("FROB", "42601"),
        ("PAUSE", "42501"),
        ("PAUSE nodb", "42501"),
        ("DISABLE", "42501"),
        ("KILL app", "42501"),
        ("RELOAD", "42501"),
        ("SET verbose = 1", "42501"),
        ("SET x = 1", "42501"),
        ("SHUTDOWN", "42501"),
    ] {
        let both = [&mut theirs, &mut ours].map(|peer| outcome(&peer.query(command)));
        same(command, both, sqlstate, None);
    }
}
