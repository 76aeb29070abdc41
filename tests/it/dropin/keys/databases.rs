//! `[databases]`.

use super::{first, ini, last_words, refusal, row};
use crate::dropin::original::PgBouncer;
use crate::support::message;
use crate::support::peer::Peer;
use crate::support::pgweir::{Pgweir, client};
use crate::support::postgres::{PASSWORD, Postgres};
use crate::support::wait::eventually;

/// [`ini`] with more entries.
fn with_entries(text: &str, entries: &str) -> String {
    text.replacen("[databases]\n", &format!("[databases]\n{entries}\n"), 1)
}

#[test]
fn where_an_entry_leads() {
    let Some(postgres) = first() else { return };
    let (database, other) = (postgres.database(), postgres.database());
    let at = |host: &str| format!("host={host} port={} dbname={other}", postgres.port());
    let secret = PASSWORD.replace('\'', "''");
    let entries = format!(
        "own = {} user=t_scram password='{secret}'\n\
         wrong = {} user=t_scram password=nonsense\n\
         nobody = host=127.0.0.1 port=1 dbname={other}",
        at("localhost"),
        at("127.0.0.1"),
    );
    let text = with_entries(&ini(postgres, &database, "", ""), &entries);
    let pgweir = Pgweir::start_ini(&text, &[]);
    let mut peer = Peer::login(pgweir.address(), "t_trust", "own");
    let found =
        peer.value("SELECT session_user || ' ' || current_database() || ' ' || inet_server_port()");
    assert_eq!(found, format!("t_scram {other} {}", postgres.port()));
    let told = refusal(&pgweir, "t_trust", "wrong");
    assert!(told.contains("password authentication failed"), "{told}");
    let told = refusal(&pgweir, "t_trust", "nobody");
    assert!(told.contains("cannot connect"), "{told}");
    let shown = row(&pgweir, "SHOW DATABASES", "name", "own").expect("a row");
    assert_eq!(shown["host"], "localhost");
    assert_eq!(shown["force_user"], "t_scram");
}

/// On PgBouncer too.
#[test]
fn what_an_entry_sets_on_its_servers() {
    let Some(postgres) = first() else { return };
    let database = postgres.database();
    let entry = "application_name=forced client_encoding=LATIN1 datestyle='German, DMY' \
                 timezone=Asia/Tokyo connect_query='SET lock_timeout = 1234'";
    let text = ini(postgres, &database, entry, "");
    let Some(theirs) = PgBouncer::start(&text) else {
        return;
    };
    let ours = Pgweir::start_ini(&text, &[]);
    for (who, address) in [("PgBouncer", theirs.address()), ("pgweir", ours.address())] {
        let mut peer = Peer::login(address, "t_trust", "app");
        for (show, value) in [
            ("client_encoding", "LATIN1"),
            ("datestyle", "German, DMY"),
            ("timezone", "Asia/Tokyo"),
            ("lock_timeout", "1234ms"),
            ("application_name", "forced"),
        ] {
            assert_eq!(peer.value(&format!("SHOW {show}")), value, "{who}: {show}");
        }
    }
}

#[test]
fn sizes_and_limits_of_an_entry() {
    let Some(postgres) = first() else { return };
    let database = postgres.database();
    let entry = "pool_size=5 min_pool_size=1 reserve_pool_size=2 server_lifetime=77 \
                 pool_mode=transaction load_balance_hosts=disable max_db_connections=9 \
                 max_db_client_connections=8";
    let small = format!(
        "old = host=127.0.0.1 port={0} dbname={database} reserve_pool=4\n\
         one = host=127.0.0.1 port={0} dbname={database} pool_size=1 query_wait_timeout=1\n\
         few = host=127.0.0.1 port={0} dbname={database} max_db_client_connections=1",
        postgres.port()
    );
    let text = with_entries(&ini(postgres, &database, entry, ""), &small).replacen(
        "app = host=127.0.0.1",
        "app = host=127.0.0.1,127.0.0.1",
        1,
    );
    let pgweir = Pgweir::start_ini(&text, &[]);
    let shown = row(&pgweir, "SHOW DATABASES", "name", "app").expect("a row");
    for (column, value) in [
        ("pool_size", "5"),
        ("min_pool_size", "1"),
        ("reserve_pool_size", "2"),
        ("server_lifetime", "77"),
        ("pool_mode", "transaction"),
        ("load_balance_hosts", "disable"),
        ("max_connections", "9"),
        ("max_client_connections", "8"),
    ] {
        assert_eq!(shown[column], value, "{column}");
    }
    let shown = row(&pgweir, "SHOW DATABASES", "name", "old").expect("a row");
    assert_eq!(shown["reserve_pool_size"], "4");

    let login = |database: &str| Peer::login(pgweir.address(), "t_trust", database);
    let (mut first, mut second) = (login("one"), login("one"));
    assert_eq!(first.value("SELECT 1"), "1");
    second.send(&[message::query("SELECT 1")]);
    assert_eq!(last_words(&mut second), "query_wait_timeout");
    let _one = login("few");
    let told = refusal(&pgweir, "t_trust", "few");
    assert!(told.contains("max_db_client_connections"), "{told}");
}

/// What psql says as `t_md5`, who is in no file.
fn asked_for(pgweir: &Pgweir, postgres: &Postgres, password: &str) -> String {
    let output = client(postgres, "psql", "t_md5", pgweir.port())
        .env("PGPASSWORD", password)
        .args(["-AtqX", "-d", "app", "-c", "SELECT session_user"])
        .output()
        .expect("psql");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat())
        .trim()
        .to_owned()
}

/// The function that the query calls is in the other database only.
#[test]
fn who_is_asked_for_users() {
    let Some(postgres) = first() else { return };
    let (database, secrets) = (postgres.database(), postgres.database());
    postgres.psql(
        &secrets,
        "CREATE FUNCTION find(text, OUT text, OUT text) LANGUAGE sql AS \
         'SELECT usename::text, passwd::text FROM pg_shadow WHERE usename = $1'",
    );
    let place = format!(
        "secrets = host=127.0.0.1 port={} dbname={secrets}",
        postgres.port()
    );
    let query = "SELECT * FROM find($1)";
    for (entry, more) in [
        (
            format!("auth_user=postgres auth_dbname=secrets auth_query='{query}'"),
            String::new(),
        ),
        (
            String::new(),
            format!("auth_user = postgres\nauth_dbname = secrets\nauth_query = {query}"),
        ),
    ] {
        let text =
            ini(postgres, &database, &entry, &more).replace("auth_type = trust", "auth_type = md5");
        let pgweir = Pgweir::start_ini(&with_entries(&text, &place), &[]);
        assert_eq!(asked_for(&pgweir, postgres, PASSWORD), "t_md5", "{entry}");
        let told = asked_for(&pgweir, postgres, "wrong");
        assert!(told.contains("password authentication failed"), "{told}");
        // Without the place to ask at there is no such function.
        let less = text
            .replace("auth_dbname=secrets", "")
            .replace("auth_dbname = secrets", "");
        pgweir.rewrite_ini(&with_entries(&less, &place));
        pgweir.signal("HUP");
        eventually("nobody to ask", || {
            let told = asked_for(&pgweir, postgres, PASSWORD);
            told.contains("auth_query failed").then_some(())
        });
    }
}
