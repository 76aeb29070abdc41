//! Keys about pools, limits, servers' lives and timeouts.

use super::super::field::Field::{Bool, CheckQuery, Count, Pooling, Seconds, Size32, Size64, Text};
use super::Key;

const ANY: u32 = u32::MAX;

pub(super) const KEYS: &[Key] = &[
    Key::process(
        "pool_mode",
        "session",
        Pooling(|s| &mut s.pool_mode),
        "When a server connection goes back to its pool: `session`, when the client leaves; `transaction`, when its transaction ends; `statement`, after each statement, and transactions of several statements are refused.",
    )
    .toml("transaction", "sharing servers between transactions is what a pooler is for, and pgweir restores parameters and prepared statements"),
    Key::process(
        "default_pool_size",
        "20",
        Count(1, ANY, |s| &mut s.default_pool_size),
        "Server connections for each pair of database and user. What PostgreSQL works on at once is about two per core; more only queue inside the server.",
    ),
    Key::process(
        "min_pool_size",
        "0",
        Count(0, ANY, |s| &mut s.min_pool_size),
        "Server connections that are kept open in each pool that is in use.",
    ),
    Key::process(
        "reserve_pool_size",
        "0",
        Count(0, ANY, |s| &mut s.reserve_pool_size),
        "Server connections that a pool may open beyond its size when a client has waited for `reserve_pool_timeout`.",
    ),
    Key::process(
        "reserve_pool_timeout",
        "5",
        Seconds(|s| &mut s.reserve_pool_timeout),
        "See `reserve_pool_size`. 0: the reserve is not used.",
    ),
    Key::process(
        "max_parallel_connects",
        "8",
        Count(1, ANY, |s| &mut s.max_parallel_connects),
        "Logins to servers that one pool may have under way at once. As many are as it has servers, so that their number doubles, and all of these if none comes through for 20 ms. PgBouncer does one after the other.",
    )
    .ours(),
    Key::process(
        "max_client_conn",
        "100",
        Count(1, ANY, |s| &mut s.max_client_conn),
        "Client connections of the process, those that are logging in and the console's included. One more is refused, except on the console. The limit on open files must be higher than this and all pools together.",
    )
    .toml("10000", "an idle client costs well under a kilobyte here, and a pooler that refuses the 101st client surprises"),
    Key::process(
        "max_db_connections",
        "0",
        Count(0, ANY, |s| &mut s.max_db_connections),
        "Server connections of all pools of one database. 0: no limit.",
    ),
    Key::process(
        "max_db_client_connections",
        "0",
        Count(0, ANY, |s| &mut s.max_db_client_connections),
        "Client connections to one database. 0: no limit.",
    ),
    Key::process(
        "max_user_connections",
        "0",
        Count(0, ANY, |s| &mut s.max_user_connections),
        "Server connections of all pools of one user. 0: no limit.",
    ),
    Key::process(
        "max_user_client_connections",
        "0",
        Count(0, ANY, |s| &mut s.max_user_client_connections),
        "Client connections of one user. 0: no limit.",
    ),
    Key::process(
        "max_prepared_statements",
        "200",
        Count(0, ANY, |s| &mut s.max_prepared_statements),
        "Prepared statements that are kept on each server connection in transaction and statement mode, so that clients may use them on whatever server they get. 0: pgweir leaves them alone, and they work in session mode only.",
    ),
    Key::process(
        "prepared_statements_memory",
        "64MB",
        Size64(1 << 16, |s| &mut s.prepared_statements_memory),
        "Memory of the process for the texts of prepared statements.",
    )
    .ours(),
    Key::process(
        "max_packet_size",
        "2147483647",
        Size32(1024, 2_147_483_647, |s| &mut s.max_packet_size),
        "Longest message that is accepted from a client that has logged in. Memory is not set aside by it: long messages pass through in pieces.",
    ),
    Key::process(
        "server_reset_query",
        "DISCARD ALL",
        Text(|s| &mut s.server_reset_query),
        "Sent to a server when a client of a session pool leaves, before another gets it. Empty: nothing is sent.",
    ),
    Key::process(
        "server_reset_query_always",
        "0",
        Bool(|s| &mut s.server_reset_query_always),
        "Send `server_reset_query` in transaction and statement mode too. It costs a round trip each time.",
    ),
    Key::process(
        "check_unknown_functions",
        "1",
        Bool(|s| &mut s.check_unknown_functions),
        "Transaction and statement mode: after a transaction that called a function which is not one of PostgreSQL's own well-known ones, ask the server whether it left a lock, a temporary table, a LISTEN or a parameter behind. It costs a round trip and about a millisecond of the server's time for such transactions only. Switch it off if your functions do nothing of the kind.",
    )
    .ours(),
    Key::process(
        "server_check_query",
        "<empty>",
        CheckQuery(|s| &mut s.server_check_query),
        "Sent to a server that was idle for `server_check_delay` before a client gets it. `<empty>` is an empty query, the cheapest; empty text: no check.",
    ),
    Key::process(
        "server_check_delay",
        "30",
        Seconds(|s| &mut s.server_check_delay),
        "See `server_check_query`. 0: always check.",
    ),
    Key::process(
        "server_lifetime",
        "3600",
        Seconds(|s| &mut s.server_lifetime),
        "A server connection of this age is closed when no client uses it. 0: after its first use.",
    ),
    Key::process(
        "server_idle_timeout",
        "600",
        Seconds(|s| &mut s.server_idle_timeout),
        "A server connection that nobody needed for this time is closed, down to `min_pool_size`. 0: never.",
    ),
    Key::process(
        "server_connect_timeout",
        "15",
        Seconds(|s| &mut s.server_connect_timeout),
        "Connecting and logging in to a server must be done after this time. 0: no limit.",
    ),
    Key::process(
        "server_login_retry",
        "15",
        Seconds(|s| &mut s.server_login_retry),
        "Pause of a pool after a failed login to a server. Meanwhile clients get the server's error at once.",
    ),
    Key::process(
        "server_round_robin",
        "0",
        Bool(|s| &mut s.server_round_robin),
        "Use idle servers in turn. Otherwise the last used goes first, which keeps caches warm and lets a pool shrink.",
    ),
    Key::process(
        "server_fast_close",
        "0",
        Bool(|s| &mut s.server_fast_close),
        "In session mode close clients together with servers that must go (RECONNECT, changed settings), each when it has no transaction open, instead of waiting until they leave.",
    ),
    Key::process(
        "client_idle_timeout",
        "0",
        Seconds(|s| &mut s.client_idle_timeout),
        "A client idle outside a transaction for this time is told to leave. 0: never.",
    ),
    Key::process(
        "query_timeout",
        "0",
        Seconds(|s| &mut s.query_timeout),
        "A query that runs longer ends with its connection. 0: no limit. `statement_timeout` of PostgreSQL is the gentler way; this one also works when the server or the network hangs, so set it a little higher.",
    ),
    Key::process(
        "query_wait_timeout",
        "120",
        Seconds(|s| &mut s.query_wait_timeout),
        "A client that waits for a server longer gets an error and is disconnected. 0: it waits for ever.",
    ),
    Key::process(
        "query_wait_notify",
        "5",
        Seconds(|s| &mut s.query_wait_notify),
        "A client that waits for a server this long gets one NOTICE that says so. 0: never.",
    ),
    Key::process(
        "idle_transaction_timeout",
        "0",
        Seconds(|s| &mut s.idle_transaction_timeout),
        "A client that does nothing inside a transaction for this time is disconnected. 0: never.",
    ),
    Key::process(
        "transaction_timeout",
        "0",
        Seconds(|s| &mut s.transaction_timeout),
        "A transaction that takes longer ends with its connection. 0: no limit.",
    ),
    Key::process(
        "cancel_wait_timeout",
        "10",
        Seconds(|s| &mut s.cancel_wait_timeout),
        "A cancel request that could not be delivered after this time is dropped. 0: no limit.",
    ),
    Key::process(
        "pool_idle_timeout",
        "0",
        Seconds(|s| &mut s.pool_idle_timeout),
        "A pool that has neither clients nor servers for this time is forgotten, and SHOW POOLS no longer lists it. 0: never, but for pools of databases that came about through `*`, see `autodb_idle_timeout`.",
    ),
    Key::process(
        "autodb_idle_timeout",
        "3600",
        Seconds(|s| &mut s.autodb_idle_timeout),
        "A database that came about through `*` and is not used for this time is forgotten. 0: only `pool_idle_timeout` does that.",
    ),
];
