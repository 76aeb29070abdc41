//! Commands, SHOW and their rows.

use super::*;
use crate::audit::waits::{Holder, Waiting};

#[test]
fn every_command_is_in_the_help_and_parses() {
    let mut names = BTreeSet::new();
    for command in COMMANDS {
        assert!(names.insert(command.name), "{} twice", command.name);
        assert!(help().contains(&command.form[..4]), "{}", command.form);
        let word = command.form.split(' ').next().expect("a word");
        assert_eq!(Some(&*word.to_lowercase()), command.name.split(' ').next());
        // Only SHOW is for everyone.
        assert_eq!(command.needs == Rights::Stats, command.name == "show");
    }
    for show in SHOWS {
        let text = format!("show {}", show.name);
        assert!(parse(&text).is_ok(), "{text}");
        assert!(help().contains(&show.name.to_uppercase()), "{text}");
    }
    let page = markdown();
    assert!(page.contains("| `KILL_CLIENT <id>` |"), "{page}");
}

/// `PGWEIR_WRITE_DOCS=1` writes the page.
#[test]
fn the_page_is_the_tables() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/console.md");
    if std::env::var_os("PGWEIR_WRITE_DOCS").is_some() {
        std::fs::write(path, markdown()).expect("written");
    }
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        page == markdown(),
        "docs/console.md is not what the tables say: run this test with PGWEIR_WRITE_DOCS=1"
    );
}

/// A client that waits for the head of a queue behind client number `blocker`, or behind a stranger.
fn waiting(blocker: u64) -> Waiting {
    let holder = |pid, client| Holder {
        pid,
        client,
        state: "idle in transaction".into(),
        xact_ms: Some(12_000),
        ..Holder::default()
    };
    Waiting {
        client: 1,
        pid: 101,
        waited_ms: 1_500,
        relation: "public.t".into(),
        blocker: Some(holder(102, blocker)),
        root: (blocker == 0).then(|| holder(103, 0)),
        ..Waiting::default()
    }
}

#[test]
fn who_waits_is_shown_with_who_is_in_the_way() {
    let rows = shown("locks");
    let told = |row: usize| {
        let column = |name: &str| &*rows[row][name];
        [
            "client",
            "waiting_ms",
            "relation",
            "blocker_pid",
            "blocker_client",
            "blocker_transaction_ms",
            "head_pid",
        ]
        .map(column)
    };
    let ours = ["1", "1500", "public.t", "102", "2", "12000", "102"];
    let stranger = ["1", "1500", "public.t", "102", "NULL", "12000", "103"];
    assert_eq!([told(0), told(1)], [ours, stranger]);
}

/// Rows of a SHOW by the names of their columns, as text.
fn shown(name: &str) -> Vec<std::collections::BTreeMap<&'static str, String>> {
    let show = show::SHOWS
        .iter()
        .find(|show| show.name == name)
        .expect("known");
    let (process, snapshot, console) = (process(), snapshot(), Shared::default());
    console.averages.record(Instant::now(), Default::default());
    let member = crate::config::Member::parse("db1 weight=2 zone=a", 5432).expect("a server");
    let cluster = Arc::new(crate::pool::cluster::Cluster::new(&[member], "a"));
    process.clusters.insert("app".into(), cluster);
    process.mirrors.insert("app".into(), Arc::default());
    process.waits.lock().now = vec![waiting(2), waiting(0)];
    let config = process.config.load_full();
    let advice = std::collections::BTreeMap::from([("app".to_owned(), Default::default())]);
    let view = View {
        advice: &advice,
        snapshot: &snapshot,
        process: &process,
        config: &config,
        console: &console,
    };
    let rows = (show.rows)(&view);
    rows.iter()
        .map(|row| {
            assert_eq!(row.len(), show.columns.len(), "SHOW {name}");
            let cells = show.columns.iter().zip(row);
            cells
                .map(|(&(column, kind), value)| {
                    // Numbers stand in the columns of numbers, text in those of text.
                    match value {
                        Value::Text(_) => assert_eq!(kind, Kind::Text, "{name}.{column}"),
                        Value::Int(_) => assert_ne!(kind, Kind::Text, "{name}.{column}"),
                        Value::Null => {}
                    }
                    let text = value
                        .encode(kind, false)
                        .map(|v| String::from_utf8(v).expect("text"));
                    (column, text.unwrap_or("NULL".to_owned()))
                })
                .collect()
        })
        .collect()
}

#[test]
fn every_show_has_rows_that_fit_its_columns() {
    for show in SHOWS {
        let rows = shown(show.name);
        // Nothing of what these are about is remembered.
        assert_eq!(
            rows.is_empty(),
            show.name.starts_with("dns_"),
            "{}",
            show.name
        );
    }
}

const SOCKET: &str = "text type user database replication state addr int port text local_addr \
    int local_port text connect_time request_time int wait wait_us close_needed text ptr link \
    int remote_pid text tls application_name int prepared_statements id ";

/// PgBouncer's columns in their order, the type before the first that has it.
///
/// Source: what a PgBouncer 1.26 answered.
const PGBOUNCERS: &[(&str, &[&str])] = &[
    ("clients", &[SOCKET]),
    ("servers", &[SOCKET]),
    ("sockets", &[SOCKET, BUFFERS]),
    ("active_sockets", &[SOCKET, BUFFERS]),
    (
        "pools",
        &[
            "text database user int cl_active cl_waiting cl_active_cancel_req \
           cl_waiting_cancel_req sv_active sv_active_cancel sv_being_canceled sv_idle sv_used \
           sv_tested sv_login maxwait maxwait_us text pool_mode load_balance_hosts",
        ],
    ),
    (
        "databases",
        &[
            "text name host int port text database force_user int pool_size min_pool_size \
           reserve_pool_size server_lifetime text pool_mode load_balance_hosts int \
           max_connections current_connections max_client_connections \
           current_client_connections paused disabled",
        ],
    ),
    ("dns_hosts", &["text hostname int8 ttl text addrs"]),
    ("dns_zones", &["text zonename int8 serial int count"]),
    (
        "users",
        &[
            "text name pool_size reserve_pool_size pool_mode int max_user_connections \
           current_connections max_user_client_connections current_client_connections",
        ],
    ),
    (
        "stats",
        &[
            "text database numeric total_server_assignment_count total_xact_count \
           total_query_count total_received total_sent total_xact_time total_query_time \
           total_wait_time total_client_parse_count total_server_parse_count total_bind_count \
           total_client_login_count avg_server_assignment_count avg_xact_count avg_query_count \
           avg_recv avg_sent avg_xact_time avg_query_time avg_wait_time avg_client_parse_count \
           avg_server_parse_count avg_bind_count avg_client_login_count",
        ],
    ),
    (
        "stats_totals",
        &[
            "text database numeric server_assignment_count xact_count query_count \
           bytes_received bytes_sent xact_time query_time wait_time client_parse_count \
           server_parse_count bind_count client_login_count",
        ],
    ),
    (
        "stats_averages",
        &[
            "text database numeric server_assignment_count xact_count query_count \
           bytes_received bytes_sent xact_time query_time wait_time avg_client_parse_count \
           avg_server_parse_count avg_bind_count avg_client_login_count",
        ],
    ),
    ("totals", &["text name numeric value"]),
    ("config", &["text key value default changeable"]),
    ("lists", &["text list int items"]),
    ("mem", &["text name int size used free memtotal"]),
    ("peers", &["int peer_id text host int port pool_size"]),
    (
        "peer_pools",
        &["int peer_id cl_active_cancel_req cl_waiting_cancel_req sv_active_cancel sv_login"],
    ),
    ("state", &["text key value"]),
    ("version", &["text version"]),
];

const BUFFERS: &str = "recv_pos pkt_pos pkt_remain send_pos send_remain pkt_avail send_avail";

#[test]
fn columns_are_pgbouncers_by_name_order_and_type() {
    for (name, parts) in PGBOUNCERS {
        let words = parts.concat();
        let mut kind = Kind::Text;
        let mut columns = Vec::new();
        for word in words.split_whitespace() {
            match word {
                "text" => kind = Kind::Text,
                "int" => kind = Kind::Int4,
                "int8" => kind = Kind::Int8,
                "numeric" => kind = Kind::Numeric,
                column => columns.push((column, kind)),
            }
        }
        if *name == "clients" {
            // Ours, behind theirs.
            columns.push(("pins", Kind::Text));
        }
        let show = show::SHOWS.iter().find(|show| show.name == *name);
        assert_eq!(show.expect("known").columns, columns, "{name}");
    }
}

#[test]
fn active_sockets_are_those_that_are_not_idle() {
    let (process, mut snapshot, console) = (process(), snapshot(), Shared::default());
    snapshot.clients[0].state = ClientState::Idle;
    snapshot.servers[0].state = ServerState::Idle;
    let config = process.config.load_full();
    let count = |snapshot: &Snapshot| {
        let view = View {
            advice: &Default::default(),
            snapshot,
            process: &process,
            config: &config,
            console: &console,
        };
        let all = show::clients::sockets(&view).len();
        (all, show::clients::active_sockets(&view).len())
    };
    assert_eq!(count(&snapshot), (2, 0));
    snapshot.servers[0].state = ServerState::Used;
    assert_eq!(count(&snapshot), (2, 0));
    snapshot.clients[0].state = ClientState::Waiting;
    snapshot.servers[0].state = ServerState::BeingCanceled;
    assert_eq!(count(&snapshot), (2, 2));
}

#[test]
fn how_hosts_are_balanced_is_what_the_configuration_says() {
    let config = Config::from_toml(
        "[databases.one]\nhost = \"a\"\n[databases.turns]\nhost = \"a,b\"\n\
         [databases.stays]\nhost = \"a,b\"\nload_balance_hosts = \"disable\"\n",
    )
    .expect("valid");
    let shown = |name| show::pools::load_balance(&config, name);
    assert_eq!(shown("one"), Value::Null);
    assert_eq!(shown("turns"), "round-robin".into());
    assert_eq!(shown("stays"), "disable".into());
}

#[test]
fn values_of_the_rows() {
    let pools = shown("pools");
    let names: Vec<&str> = pools.iter().map(|row| &*row["database"]).collect();
    assert_eq!(names, ["app", "pgbouncer"]);
    let pool = &pools[0];
    let of = |names: [&str; 6]| names.map(|name| &*pool[name]);
    assert_eq!(
        of([
            "cl_active",
            "cl_waiting",
            "sv_idle",
            "sv_login",
            "maxwait",
            "maxwait_us"
        ]),
        ["6", "4", "4", "2", "2", "3"]
    );
    assert_eq!(
        (&*pool["pool_mode"], &*pool["load_balance_hosts"]),
        ("transaction", "NULL")
    );

    let client = &shown("clients")[0];
    let of = |names: [&str; 6]| names.map(|name| &*client[name]);
    assert_eq!(
        of(["type", "user", "state", "addr", "port", "pins"]),
        ["C", "alice", "active", "192.0.2.1", "4321", "listen"]
    );
    assert_eq!(
        of(["wait", "wait_us", "ptr", "link", "id", "replication"]),
        ["1", "2", "0x100000005", "0x9", "5", "none"]
    );
    assert_eq!(client["request_time"], "1970-01-01 00:01:01 UTC");

    let server = &shown("servers")[0];
    let of = |names: [&str; 6]| names.map(|name| &*server[name]);
    assert_eq!(
        of([
            "type",
            "link",
            "close_needed",
            "remote_pid",
            "application_name",
            "tls"
        ]),
        ["S", "0x100000005", "1", "77", "psql", "TLSv1.3/x"]
    );

    let databases = shown("databases");
    let of = |at: usize, names: [&str; 5]| names.map(|name| databases[at][name].clone());
    assert_eq!(
        of(0, ["name", "host", "database", "force_user", "pool_size"]),
        ["app", "h1", "app", "svc", "7"]
    );
    assert_eq!(
        of(1, ["name", "host", "database", "force_user", "pool_size"]),
        ["pgbouncer", "NULL", "pgbouncer", "pgbouncer", "2"]
    );
    assert_eq!(
        of(2, ["name", "port", "database", "force_user", "pool_size"]),
        ["two", "5432", "other", "NULL", "20"]
    );

    let users = shown("users");
    let boss = users
        .iter()
        .find(|row| row["name"] == "boss")
        .expect("boss");
    assert_eq!(
        (&*boss["pool_size"], &*boss["pool_mode"]),
        ("        3", "session")
    );
    let alice = users
        .iter()
        .find(|row| row["name"] == "alice")
        .expect("alice");
    assert_eq!((&*alice["pool_size"], &*alice["pool_mode"]), ("", "NULL"));

    let stats = shown("stats");
    assert_eq!(stats[0]["total_query_count"], "80");
    assert_eq!(stats[0]["total_received"], "10000000000");
    assert_eq!(stats[2]["database"], "two");
    let totals = shown("totals");
    assert_eq!(
        (totals.len(), &*totals[2]["name"], &*totals[2]["value"]),
        (25, "total_query_count", "80")
    );
    assert_eq!(totals[24]["name"], "total_client_error_count");
    let version = &shown("version")[0]["version"];
    assert!(
        version.starts_with("PgBouncer 1.26.1 (pgweir "),
        "{version}"
    );
    let config = shown("config");
    assert!(config.iter().any(|row| row["key"] == "listen_port"
        && row["value"] == "6432"
        && row["changeable"] == "no"));
    let lists: Vec<String> = shown("lists")
        .iter()
        .map(|row| format!("{}={}", row["list"], row["items"]))
        .collect();
    assert_eq!(lists[..4], ["databases=3", "users=4", "peers=1", "pools=2"]);
}

#[test]
fn who_may_do_what() {
    let settings = |text: &str| Config::from_toml(text).expect("valid").settings;
    let listed = settings(
        "[pgweir]\nauth_type = \"trust\"\nadmin_users = [\"a\"]\nstats_users = [\"s\", \"a\"]\n",
    );
    assert_eq!(rights(&listed, "a"), Some(Rights::Admin));
    assert_eq!(rights(&listed, "s"), Some(Rights::Stats));
    assert_eq!(rights(&listed, "x"), None);
    let any = settings("[pgweir]\nauth_type = \"any\"\n");
    assert_eq!(rights(&any, "x"), Some(Rights::Stats));
}
