//! Keys of one database and of one user.

use super::super::User;
use super::super::cluster::{
    BALANCE, MIRRORED, PRIMARY_READS, READ_ONLY_TRANSACTIONS, READ_YOUR_WRITES, TARGETS,
};
use super::super::effective::STAY;
use super::super::field::Field::{
    self, Bool, Names, OptCount, OptPooling, OptSeconds, OptText, OptWord, Param, Params, Password,
    Port, Servers,
};
use super::{DatabaseDraft, Key, Slot};

const ANY: u32 = u32::MAX;
const LOAD_BALANCE: &[&str] = &["round-robin", STAY];

const fn database(name: &'static str, field: Field<DatabaseDraft>, doc: &'static str) -> Key {
    Key::new(name, "", Slot::Database(field), doc)
}

const fn user(name: &'static str, field: Field<User>, doc: &'static str) -> Key {
    Key::new(name, "", Slot::User(field), doc)
}

pub(super) const DATABASE: &[Key] = &[
    database(
        "host",
        Names(|d| &mut d.host),
        "Where PostgreSQL listens: a name, an address, a directory with its unix socket (`/run/postgresql`), or several, as a comma list or an array. Not set, in a pgbouncer.ini: a unix socket in `unix_socket_dir`.",
    )
    .toml("127.0.0.1", "a unix socket in /tmp is not where most packages put PostgreSQL's"),
    Key::new(
        "port",
        "5432",
        Slot::Database(Port(|d| &mut d.port)),
        "Port of every `host`.",
    ),
    database(
        "servers",
        Servers(|d| &mut d.servers),
        "A primary and its replicas instead of `host`: `name` or `name:port` each, or a table with `host`, `port`, `role` (`auto`, `primary`, `replica`: what it may be), `weight` (its share of reads, 1), `zone` and `pool_size` (as a replica); in text behind the name, as in `db2:5433 weight=2`. Who is who is asked of them, again and again: statements that write go to the primary, those that only read to a replica, and after a failover the new primary takes over. See docs/replicas.md.",
    )
    .ours(),
    database(
        "patroni",
        Names(|d| &mut d.patroni),
        "Where Patroni's REST API is, such as `http://db1:8008`, or several of its places that are asked in turn: which servers the cluster has and which one alone may be the primary is what `/cluster` says. `servers` is where to begin, and what is said of a server there holds. `https` needs `patroni_ca_file`.",
    )
    .ours(),
    database(
        "primary_reads",
        OptWord(PRIMARY_READS, |d| &mut d.database.primary_reads),
        "When the primary of `servers` runs what a replica could: `only` (replicas get nothing), `always` (it is one of them), `when-no-replica` (if none is there that is fresh enough), `never` (reads wait for a replica, for `query_wait_timeout` at most). Not set: `when-no-replica`.",
    )
    .ours(),
    database(
        "read_your_writes",
        OptWord(READ_YOUR_WRITES, |d| &mut d.database.read_your_writes),
        "Whose writes a read from a replica must see: those of the same client (`session`), of all clients of the database (`database`), or nobody's (`off`). Not set: `session`.",
    )
    .ours(),
    database(
        "replica_wait",
        OptSeconds(|d| &mut d.database.replica_wait),
        "How long a read waits for a replica that shows what its client wrote before the primary has it. Not set: 0, the primary has it at once.",
    )
    .ours(),
    database(
        "target_session_attrs",
        OptWord(TARGETS, |d| &mut d.database.target_session_attrs),
        "Which of `servers` sessions of this database are for as a whole, as libpq's setting of that name: the primary (`primary`, `read-write`), replicas (`standby`, `read-only`), replicas and without one the primary (`prefer-standby`), or each statement where it may run (`any`). For a second entry of the same servers, such as `app_ro`. A client says it for itself with `options=-cpgweir.target_session_attrs=standby`. Not set: `any`.",
    )
    .ours(),
    database(
        "read_only_transactions",
        OptWord(READ_ONLY_TRANSACTIONS, |d| {
            &mut d.database.read_only_transactions
        }),
        "Where transactions go that begin `READ ONLY` (or plainly with `default_transaction_read_only`): to one `replica` if one may have them, or to the `primary`. Not set: `replica`.",
    )
    .ours(),
    database(
        "defer_begin",
        Bool(|d| &mut d.database.defer_begin),
        "In transaction pooling, a plain `BEGIN` is answered by pgweir and sent with the first statement of its transaction: to a replica if that one only reads, else to the primary. For applications whose transactions either read or write; an error of the BEGIN is seen at the first statement.",
    )
    .ours(),
    database(
        "max_replica_lag",
        OptSeconds(|d| &mut d.database.max_replica_lag),
        "How old what a replica shows may be for it to get reads; 0: any age. Not set: 10 seconds.",
    )
    .ours(),
    database(
        "balance",
        OptWord(BALANCE, |d| &mut d.database.balance),
        "Which of several replicas that may have a read gets it: of two taken by chance the one with less to do (`least-loaded`), one after the other (`round-robin`), or one taken by chance (`random`); each by its weight. Not set: `least-loaded`.",
    )
    .ours(),
    database(
        "slow_start",
        OptSeconds(|d| &mut d.database.slow_start),
        "A replica that comes back begins with a tenth of its share of reads and has all of it after this time; its caches are cold. 0: at once. Not set: 10 seconds.",
    )
    .ours(),
    database(
        "replica_pool_size",
        OptCount(1, ANY, |d| &mut d.database.replica_pool_size),
        "Connections of one pool to each replica of `servers`. Not set: as many as to the primary.",
    )
    .ours(),
    database(
        "mirror",
        OptText(|d| &mut d.database.mirror),
        "Another entry of `[databases]` that runs what this one ran, behind its back: to see how a new version or a new server does before moving to it. Nobody waits for it; `SHOW MIRRORS` compares rows, errors and time. Only in transaction and statement pooling.",
    )
    .ours(),
    database(
        "mirror_statements",
        OptWord(MIRRORED, |d| &mut d.database.mirror_statements),
        "What `mirror` runs: transactions that only read (`reads`), or `all`. Not set: `reads`.",
    )
    .ours(),
    database(
        "mirror_share",
        OptCount(1, 100, |d| &mut d.database.mirror_share),
        "Of how many shapes of statements in a hundred `mirror` runs what begins with them. Not set: all.",
    )
    .ours(),
    database(
        "dbname",
        OptText(|d| &mut d.database.dbname),
        "Database on the server. Not set: the name that the client asked for.",
    ),
    database(
        "user",
        OptText(|d| &mut d.database.user),
        "Make all server connections as this user, whoever the client is. Not set: as the client's user.",
    ),
    database(
        "password",
        Password(|d| &mut d.database.password),
        "Password towards the server. Not set: the user's entry in `auth_file`.",
    ),
    database(
        "auth_user",
        OptText(|d| &mut d.database.auth_user),
        "Who asks for the secrets of this database's users. Not set: the global setting.",
    ),
    database(
        "auth_query",
        OptText(|d| &mut d.database.auth_query),
        "Asks for the secret of a user. Not set: the global setting.",
    ),
    database(
        "auth_dbname",
        OptText(|d| &mut d.database.auth_dbname),
        "Entry of `[databases]` where `auth_query` runs for this one. Not set: the global setting, else this one.",
    ),
    database(
        "pool_size",
        OptCount(1, ANY, |d| &mut d.database.pool_size),
        "Server connections per pool. Not set: `default_pool_size`.",
    ),
    database(
        "min_pool_size",
        OptCount(0, ANY, |d| &mut d.database.min_pool_size),
        "Server connections kept open. Not set: the global setting.",
    ),
    database(
        "reserve_pool_size",
        OptCount(0, ANY, |d| &mut d.database.reserve_pool_size),
        "Server connections beyond the pool's size when waiting takes too long. Not set: the global setting.",
    )
    .alias("reserve_pool"),
    database(
        "pool_mode",
        OptPooling(|d| &mut d.database.pool_mode),
        "Pool mode. Not set: the global setting.",
    ),
    database(
        "max_db_connections",
        OptCount(0, ANY, |d| &mut d.database.max_db_connections),
        "Server connections of all pools of this database; 0: no limit. Not set: the global setting.",
    ),
    database(
        "max_db_client_connections",
        OptCount(0, ANY, |d| &mut d.database.max_db_client_connections),
        "Client connections to this database; 0: no limit. Not set: the global setting.",
    ),
    database(
        "server_lifetime",
        OptSeconds(|d| &mut d.database.server_lifetime),
        "Age at which a server connection is closed. Not set: the global setting.",
    ),
    database(
        "query_wait_timeout",
        OptSeconds(|d| &mut d.database.query_wait_timeout),
        "How long a query may wait for a server; 0: for ever. Not set: the global setting.",
    ),
    database(
        "connect_query",
        OptText(|d| &mut d.database.connect_query),
        "Run once on each new server connection before clients use it.",
    ),
    database(
        "load_balance_hosts",
        OptWord(LOAD_BALANCE, |d| &mut d.database.load_balance_hosts),
        "Which of several `host`s a new server connection goes to: `round-robin`, the next one each time; `disable`, the same one until connecting to it fails, then the next. Not set: `round-robin`.",
    ),
    database(
        "client_encoding",
        Param("client_encoding", |d| &mut d.database.params),
        "The `client_encoding` that clients start with unless they set their own.",
    ),
    database(
        "datestyle",
        Param("datestyle", |d| &mut d.database.params),
        "The `datestyle` that clients start with unless they set their own.",
    ),
    database(
        "timezone",
        Param("timezone", |d| &mut d.database.params),
        "The `timezone` that clients start with unless they set their own.",
    ),
    database(
        "application_name",
        Param("application_name", |d| &mut d.database.params),
        "The `application_name` that clients start with unless they set their own.",
    ),
    database(
        "params",
        Params(|d| &mut d.database.params),
        "Any session parameters that clients start with unless they set their own, such as `{ statement_timeout = \"30s\" }`. Only in TOML.",
    )
    .ours(),
];

pub(super) const USER: &[Key] = &[
    user(
        "pool_size",
        OptCount(1, ANY, |u| &mut u.pool_size),
        "Server connections per pool of this user. Not set: the database's or the global setting.",
    ),
    user(
        "reserve_pool_size",
        OptCount(0, ANY, |u| &mut u.reserve_pool_size),
        "Server connections beyond the pool's size when waiting takes too long. Not set: the database's or the global setting.",
    ),
    user(
        "pool_mode",
        OptPooling(|u| &mut u.pool_mode),
        "Pool mode. Not set: the database's or the global setting.",
    ),
    user(
        "max_user_connections",
        OptCount(0, ANY, |u| &mut u.max_user_connections),
        "Server connections of all pools of this user; 0: no limit. Not set: the global setting.",
    ),
    user(
        "max_user_client_connections",
        OptCount(0, ANY, |u| &mut u.max_user_client_connections),
        "Client connections of this user; 0: no limit. Not set: the global setting.",
    ),
    user(
        "query_timeout",
        OptSeconds(|u| &mut u.query_timeout),
        "Longest query; 0: no limit. In a database with a `user` of its own, that user's counts. Not set: the global setting.",
    ),
    user(
        "query_wait_timeout",
        OptSeconds(|u| &mut u.query_wait_timeout),
        "How long a query may wait for a server; 0: for ever. Not set: the database's or the global setting.",
    ),
    user(
        "idle_transaction_timeout",
        OptSeconds(|u| &mut u.idle_transaction_timeout),
        "Longest time idle in a transaction; 0: no limit. In a database with a `user` of its own, that user's counts. Not set: the global setting.",
    ),
    user(
        "transaction_timeout",
        OptSeconds(|u| &mut u.transaction_timeout),
        "Longest transaction; 0: no limit. In a database with a `user` of its own, that user's counts. Not set: the global setting.",
    ),
    user(
        "client_idle_timeout",
        OptSeconds(|u| &mut u.client_idle_timeout),
        "Longest time a client may be idle outside a transaction; 0: no limit. Not set: the global setting.",
    ),
];
