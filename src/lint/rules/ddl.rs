//! Rules about schema changes: what they lock, rewrite or break.

use pg_raw_parse::raw::{AlterTableType, ConstrType, ObjectType, ReindexObjectType};
use pg_raw_parse::{Node, nodes};

use crate::lint::hit::Hit;
use crate::lint::inspect::Cx;
use crate::lint::rule::{Check, Rule};
use crate::lint::tree::{self, is_off, is_temporary, table_name};
use crate::rule;

/// The rules of this family.
pub static RULES: &[&Rule] = &[
    &INDEX_NOT_CONCURRENT,
    &ADD_COLUMN_NOT_NULL_NO_DEFAULT,
    &ADD_COLUMN_REWRITE,
    &ALTER_COLUMN_TYPE,
    &CONSTRAINT_WITHOUT_NOT_VALID,
    &UNIQUE_CONSTRAINT_BLOCKING,
    &BREAKING_DDL,
    &EXCLUSIVE_LOCK_MAINTENANCE,
    &DDL_LOCK_HELD,
    &DDL_WITHOUT_LOCK_TIMEOUT,
];

rule! {
    /// A transaction that changed a table stays open for a second and more: everything that touches the
    /// table waits until it ends.
    ///
    /// ALTER TABLE and its like take a lock that nobody else may share. What runs in the same
    /// transaction behind it, a backfill or only the deployment tool's own thinking, is an outage for
    /// the table's users.
    ///
    /// Not reported: tables that the transaction has created itself.
    pub static DDL_LOCK_HELD = {
        id: "ddl-lock-held",
        title: "Strong lock kept after a schema change",
        number: 20,
        class: Ddl,
        severity: Critical,
        enforce: Guard,
        on: true,
        examples: [],
        remedy: "Commit right after the schema change; fill tables in small transactions of their own.",
        sources: ["https://squawkhq.com/docs/safe_migrations"],
        check: Check::Engine,
    }
}

rule! {
    /// A schema change that waits for its lock makes every later statement on the table wait behind
    /// it. With lock_timeout it gives up instead, and can be tried again.
    ///
    /// The startup parameters of the client (`options=-c lock_timeout=2s` too), SET, SET LOCAL, RESET,
    /// DISCARD ALL and ROLLBACK are followed. Tables created in the same transaction are exempt. A
    /// default of the role or database is not seen.
    pub static DDL_WITHOUT_LOCK_TIMEOUT = {
        id: "ddl-without-lock-timeout",
        title: "Schema change without lock_timeout",
        number: 21,
        class: Ddl,
        severity: Warn,
        enforce: Block,
        on: true,
        examples: [],
        remedy: "SET lock_timeout = '2s' before it, and retry.",
        sources: ["https://squawkhq.com/docs/require-lock-timeout"],
        check: Check::Engine,
    }
}

rule! {
    /// An index that is built, dropped or rebuilt without CONCURRENTLY keeps writers of the table
    /// (DROP and REINDEX also readers) waiting until it is done, which takes minutes to hours on a
    /// large table.
    ///
    /// CONCURRENTLY cannot run in a transaction, takes longer, and leaves an invalid index behind
    /// when it fails. Not reported: indexes on ONLY a partitioned parent, REINDEX SYSTEM, and
    /// tables that the same transaction has created.
    pub static INDEX_NOT_CONCURRENT = {
        id: "index-not-concurrent",
        title: "Index built, dropped or rebuilt under a blocking lock",
        number: 19,
        class: Ddl,
        severity: Critical,
        enforce: Block,
        on: true,
        kinds: [("create", "CREATE INDEX"), ("drop", "DROP INDEX"), ("reindex", "REINDEX")],
        examples: [
            ("CREATE INDEX users_email ON users (email)", "CREATE INDEX CONCURRENTLY users_email ON users (email)"),
            ("DROP INDEX users_email", "DROP INDEX CONCURRENTLY users_email"),
            ("REINDEX TABLE users", "REINDEX TABLE CONCURRENTLY users"),
        ],
        remedy: "Use CONCURRENTLY, outside a transaction and with lock_timeout; then check pg_index.indisvalid.",
        sources: ["https://squawkhq.com/docs/require-concurrent-index-creation"],
        check: Check::Tree(index_not_concurrent),
    }
}

fn index_not_concurrent(cx: &mut Cx<'_, '_>) {
    match cx.tree.statement {
        Node::IndexStmt(index) if !index.concurrent => {
            let Some(table) = index.relation() else {
                return;
            };
            // ON ONLY a partitioned parent makes an empty shell.
            if is_temporary(table) || !table.inh {
                return;
            }
            let name = table_name(table);
            let span = cx.token(table.location);
            let message = format!("CREATE INDEX blocks writes to {name} until it is done.");
            cx.hit(
                Hit::new(&INDEX_NOT_CONCURRENT, "create", message)
                    .object(name)
                    .at(span),
            );
        }
        Node::DropStmt(drop)
            if drop.remove_type == ObjectType::OBJECT_INDEX && !drop.concurrent =>
        {
            for name in drop.objects().iter().map(qualified) {
                let message = format!("DROP INDEX {name} blocks readers and writers of its table.");
                cx.hit(Hit::new(&INDEX_NOT_CONCURRENT, "drop", message).object(name));
            }
        }
        Node::ReindexStmt(reindex) if reindex.kind != ReindexObjectType::REINDEX_OBJECT_SYSTEM => {
            if has_option(reindex.params().iter(), "concurrently") {
                return;
            }
            let name = match reindex.relation() {
                Some(table) => table_name(table),
                None => reindex.name().unwrap_or_default().to_owned(),
            };
            let message = format!("REINDEX {name} blocks writes until it is done.");
            cx.hit(Hit::new(&INDEX_NOT_CONCURRENT, "reindex", message).object(name));
        }
        _ => {}
    }
}

rule! {
    /// ADD COLUMN … NOT NULL without a value for the rows that are there fails on any table that
    /// has rows; on an empty one it breaks INSERTs of programs that do not know the column.
    pub static ADD_COLUMN_NOT_NULL_NO_DEFAULT = {
        id: "add-column-not-null-no-default",
        title: "ADD COLUMN … NOT NULL without DEFAULT",
        number: 22,
        class: Ddl,
        severity: Critical,
        enforce: Block,
        on: true,
        examples: [("ALTER TABLE users ADD COLUMN role text NOT NULL", "ALTER TABLE users ADD COLUMN role text NOT NULL DEFAULT 'user'")],
        remedy: "Add the column nullable or with a constant DEFAULT, then tighten it.",
        sources: ["https://squawkhq.com/docs/adding-required-field"],
        check: Check::Tree(add_column_not_null),
    }
}

fn add_column_not_null(cx: &mut Cx<'_, '_>) {
    for (table, column) in added_columns(cx) {
        let parts = Parts::of(column);
        let required = parts.not_null || parts.primary_key;
        if required && !parts.default && !parts.identity && !parts.stored && !is_serial(column) {
            let name = column.colname().unwrap_or_default();
            let message = format!(
                "Adding {table}.{name} as NOT NULL without a default fails on a table with rows and breaks old INSERTs."
            );
            let span = cx.token(column.location);
            cx.hit(
                Hit::new(&ADD_COLUMN_NOT_NULL_NO_DEFAULT, "", message)
                    .object(table)
                    .at(span),
            );
        }
    }
}

rule! {
    /// Some ways to add a column write every row of the table anew, with nobody else allowed near
    /// it: a default that differs from row to row (random(), gen_random_uuid(), nextval…), serial
    /// types, identity columns, stored generated columns.
    ///
    /// A constant default, now() and CURRENT_TIMESTAMP cost nothing since PostgreSQL 11. Functions
    /// that are not built in may be harmless; nothing is claimed about them.
    pub static ADD_COLUMN_REWRITE = {
        id: "add-column-rewrite",
        title: "ADD COLUMN that rewrites the table",
        number: 23,
        class: Ddl,
        severity: Critical,
        enforce: Block,
        on: true,
        kinds: [
            ("volatile-default", "a default that differs from row to row"),
            ("serial", "a serial type"),
            ("identity", "an identity column"),
            ("stored", "a stored generated column"),
        ],
        examples: [("ALTER TABLE users ADD COLUMN token uuid DEFAULT gen_random_uuid()", "ALTER TABLE users ADD COLUMN token uuid")],
        remedy: "Add the column nullable, set the default, then fill it in batches.",
        sources: ["https://squawkhq.com/docs/adding-field-with-default"],
        check: Check::Tree(add_column_rewrite),
    }
}

fn add_column_rewrite(cx: &mut Cx<'_, '_>) {
    for (table, column) in added_columns(cx) {
        let parts = Parts::of(column);
        let kind = if is_serial(column) {
            "serial"
        } else if parts.identity {
            "identity"
        } else if parts.stored {
            "stored"
        } else if parts.volatile {
            "volatile-default"
        } else {
            continue;
        };
        let name = column.colname().unwrap_or_default();
        let message = format!("Adding {name} rewrites {table} under ACCESS EXCLUSIVE.");
        let span = cx.token(column.location);
        cx.hit(
            Hit::new(&ADD_COLUMN_REWRITE, kind, message)
                .object(table)
                .at(span),
        );
    }
}

rule! {
    /// Changing a column's type usually writes the table and its indexes anew under ACCESS
    /// EXCLUSIVE, and plans that clients have cached may fail afterwards.
    ///
    /// Some changes cost nothing (a longer varchar, varchar to text); the text alone does not tell
    /// what the type was.
    pub static ALTER_COLUMN_TYPE = {
        id: "alter-column-type",
        title: "ALTER COLUMN TYPE",
        number: 24,
        class: Ddl,
        severity: Critical,
        enforce: Block,
        on: true,
        examples: [("ALTER TABLE orders ALTER COLUMN id TYPE bigint", "ALTER TABLE orders ADD COLUMN id_new bigint")],
        remedy: "Add a new column, write to both, fill it in batches, then swap.",
        sources: ["https://squawkhq.com/docs/changing-column-type"],
        check: Check::Tree(alter_column_type),
    }
}

fn alter_column_type(cx: &mut Cx<'_, '_>) {
    for (table, command) in alter_commands(cx) {
        if command.subtype == AlterTableType::AT_AlterColumnType {
            let column = command.name().unwrap_or_default();
            let message = format!(
                "Changing the type of {column} rewrites {table} and its indexes under ACCESS EXCLUSIVE."
            );
            cx.hit(Hit::new(&ALTER_COLUMN_TYPE, "", message).object(table));
        }
    }
}

rule! {
    /// A foreign key or CHECK that is added without NOT VALID, and SET NOT NULL, read the whole
    /// table while others wait for the lock.
    ///
    /// NOT VALID applies to new rows at once and takes a moment; VALIDATE CONSTRAINT then reads the
    /// table without keeping writers out. SET NOT NULL needs no reading if a valid CHECK
    /// (column IS NOT NULL) is there.
    pub static CONSTRAINT_WITHOUT_NOT_VALID = {
        id: "constraint-without-not-valid",
        title: "Constraint validated under lock",
        number: 25,
        class: Ddl,
        severity: Critical,
        enforce: Block,
        on: true,
        kinds: [
            ("foreign-key", "FOREIGN KEY"),
            ("check", "CHECK"),
            ("set-not-null", "SET NOT NULL"),
            ("column-reference", "ADD COLUMN … REFERENCES with a default"),
        ],
        examples: [(
            "ALTER TABLE orders ADD CONSTRAINT fk FOREIGN KEY (user_id) REFERENCES users (id)",
            "ALTER TABLE orders ADD CONSTRAINT fk FOREIGN KEY (user_id) REFERENCES users (id) NOT VALID"
        )],
        remedy: "ADD … NOT VALID, then VALIDATE CONSTRAINT in another transaction; SET NOT NULL after a validated CHECK (column IS NOT NULL).",
        sources: ["https://squawkhq.com/docs/constraint-missing-not-valid"],
        check: Check::Tree(constraint_without_not_valid),
    }
}

fn constraint_without_not_valid(cx: &mut Cx<'_, '_>) {
    for (table, command) in alter_commands(cx) {
        let kind = match (command.subtype, command.def()) {
            (AlterTableType::AT_SetNotNull, _) => "set-not-null",
            (AlterTableType::AT_AddConstraint, Node::Constraint(c)) if !c.skip_validation => {
                match c.contype {
                    ConstrType::CONSTR_FOREIGN => "foreign-key",
                    ConstrType::CONSTR_CHECK => "check",
                    _ => continue,
                }
            }
            (AlterTableType::AT_AddColumn, Node::ColumnDef(column)) => {
                let parts = Parts::of(column);
                if !(parts.references && parts.default && !parts.null_default) {
                    continue;
                }
                "column-reference"
            }
            _ => continue,
        };
        let blocked = match kind {
            "foreign-key" | "column-reference" => "writes",
            _ => "reads and writes",
        };
        let message = format!("Scans {table} while blocking {blocked}.");
        cx.hit(Hit::new(&CONSTRAINT_WITHOUT_NOT_VALID, kind, message).object(table));
    }
}

rule! {
    /// A UNIQUE, PRIMARY KEY or EXCLUDE constraint builds its index under ACCESS EXCLUSIVE: nobody
    /// reads or writes the table until it is done.
    pub static UNIQUE_CONSTRAINT_BLOCKING = {
        id: "unique-constraint-blocking",
        title: "UNIQUE / PRIMARY KEY / EXCLUDE built under lock",
        number: 26,
        class: Ddl,
        severity: Critical,
        enforce: Block,
        on: true,
        examples: [(
            "ALTER TABLE users ADD CONSTRAINT users_email_key UNIQUE (email)",
            "ALTER TABLE users ADD CONSTRAINT users_email_key UNIQUE USING INDEX users_email_idx"
        )],
        remedy: "CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT … USING INDEX.",
        sources: ["https://squawkhq.com/docs/disallowed-unique-constraint"],
        check: Check::Tree(unique_constraint_blocking),
    }
}

fn unique_constraint_blocking(cx: &mut Cx<'_, '_>) {
    for (table, command) in alter_commands(cx) {
        let builds = match (command.subtype, command.def()) {
            (AlterTableType::AT_AddConstraint, Node::Constraint(c)) => match c.contype {
                ConstrType::CONSTR_UNIQUE | ConstrType::CONSTR_PRIMARY => c.indexname().is_none(),
                ConstrType::CONSTR_EXCLUSION => true,
                _ => false,
            },
            (AlterTableType::AT_AddColumn, Node::ColumnDef(column)) => {
                let parts = Parts::of(column);
                parts.unique || parts.primary_key
            }
            _ => false,
        };
        if builds {
            let message = format!("Builds an index on {table} under ACCESS EXCLUSIVE.");
            cx.hit(Hit::new(&UNIQUE_CONSTRAINT_BLOCKING, "", message).object(table));
        }
    }
}

rule! {
    /// Dropping a table, schema, database or column, TRUNCATE, and renaming a table or column take
    /// away what running programs use, some of it for ever.
    ///
    /// Not reported: temporary tables; views, functions, constraints; renamed indexes.
    pub static BREAKING_DDL = {
        id: "breaking-ddl",
        title: "DDL that loses data or breaks running clients",
        number: 27,
        class: Ddl,
        severity: Critical,
        enforce: Block,
        on: true,
        kinds: [
            ("drop", "DROP TABLE, SCHEMA, DATABASE, OWNED"),
            ("drop-column", "DROP COLUMN"),
            ("truncate", "TRUNCATE"),
            ("rename", "RENAME of a table or column"),
        ],
        examples: [("ALTER TABLE users DROP COLUMN legacy", "ALTER TABLE users ALTER COLUMN legacy DROP NOT NULL")],
        remedy: "Expand and contract: stop using it, deploy, then drop it; keep a backup.",
        sources: ["https://squawkhq.com/docs/ban-drop-column"],
        check: Check::Tree(breaking_ddl),
    }
}

fn breaking_ddl(cx: &mut Cx<'_, '_>) {
    let mut found: Vec<(&'static str, &str, String)> = Vec::new();
    match cx.tree.statement {
        Node::DropStmt(drop) => {
            let verb = match drop.remove_type {
                ObjectType::OBJECT_TABLE => "DROP TABLE",
                ObjectType::OBJECT_SCHEMA => "DROP SCHEMA",
                _ => return,
            };
            let names = drop.objects().iter().map(qualified);
            found.extend(
                names
                    .filter(|name| !name.starts_with("pg_temp"))
                    .map(|name| ("drop", verb, name)),
            );
        }
        Node::DropdbStmt(drop) => {
            found.push((
                "drop",
                "DROP DATABASE",
                drop.dbname().unwrap_or_default().to_owned(),
            ));
        }
        Node::DropOwnedStmt(_) => found.push(("drop", "DROP OWNED", String::new())),
        Node::TruncateStmt(truncate) => {
            for node in truncate.relations().iter() {
                if let Node::RangeVar(table) = node
                    && !is_temporary(table)
                {
                    found.push(("truncate", "TRUNCATE", table_name(table)));
                }
            }
        }
        Node::RenameStmt(rename) => {
            let renames = match rename.rename_type {
                ObjectType::OBJECT_TABLE => "Renaming",
                ObjectType::OBJECT_COLUMN if rename.relation_type == ObjectType::OBJECT_TABLE => {
                    "Renaming a column of"
                }
                _ => return,
            };
            if let Some(table) = rename.relation().filter(|table| !is_temporary(table)) {
                found.push(("rename", renames, table_name(table)));
            }
        }
        _ => {}
    }
    for (table, command) in alter_commands(cx) {
        if command.subtype == AlterTableType::AT_DropColumn {
            found.push(("drop-column", "Dropping a column of", table));
        }
    }
    for (kind, verb, object) in found {
        let message = format!("{verb} {object} is irreversible for running clients.");
        cx.hit(Hit::new(&BREAKING_DDL, kind, message).object(object));
    }
}

rule! {
    /// VACUUM FULL, CLUSTER, LOCK TABLE in SHARE mode or stronger, REFRESH MATERIALIZED VIEW and
    /// DETACH PARTITION without CONCURRENTLY, and moving a table to another tablespace or to
    /// UNLOGGED keep others out of the table for as long as they take.
    pub static EXCLUSIVE_LOCK_MAINTENANCE = {
        id: "exclusive-lock-maintenance",
        title: "Maintenance under a strong lock",
        number: 52,
        class: Ddl,
        severity: Critical,
        enforce: Block,
        on: true,
        examples: [
            ("VACUUM FULL orders", "VACUUM orders"),
            ("REFRESH MATERIALIZED VIEW totals", "REFRESH MATERIALIZED VIEW CONCURRENTLY totals"),
        ],
        remedy: "Use pg_repack, the CONCURRENTLY form, or a maintenance window.",
        sources: ["https://squawkhq.com/docs/prefer-repack"],
        check: Check::Tree(exclusive_lock_maintenance),
    }
}

/// `ShareLock` of the server's lock modes.
const SHARE_LOCK: i32 = 5;

fn exclusive_lock_maintenance(cx: &mut Cx<'_, '_>) {
    let name = |table: Option<&nodes::RangeVar>| table.map(table_name).unwrap_or_default();
    let mut found: Vec<(&str, String)> = Vec::new();
    match cx.tree.statement {
        Node::VacuumStmt(vacuum)
            if vacuum.is_vacuumcmd && has_option(vacuum.options().iter(), "full") =>
        {
            let tables: Vec<String> = vacuum
                .rels()
                .iter()
                .map(|rel| name(rel.relation()))
                .collect();
            match tables.is_empty() {
                true => found.push(("VACUUM FULL", "every table".to_owned())),
                false => found.extend(tables.into_iter().map(|table| ("VACUUM FULL", table))),
            }
        }
        Node::ClusterStmt(cluster) => found.push(("CLUSTER", name(cluster.relation()))),
        Node::LockStmt(lock) if lock.mode >= SHARE_LOCK => {
            for node in lock.relations().iter() {
                if let Node::RangeVar(table) = node
                    && !is_temporary(table)
                {
                    found.push(("LOCK TABLE", table_name(table)));
                }
            }
        }
        Node::RefreshMatViewStmt(refresh) if !refresh.concurrent && !refresh.skip_data => {
            found.push(("REFRESH MATERIALIZED VIEW", name(refresh.relation())));
        }
        Node::AlterTableMoveAllStmt(all) => {
            let from = all.orig_tablespacename().unwrap_or_default();
            found.push(("SET TABLESPACE", format!("everything in tablespace {from}")));
        }
        _ => {}
    }
    let stored = [
        ObjectType::OBJECT_TABLE,
        ObjectType::OBJECT_INDEX,
        ObjectType::OBJECT_MATVIEW,
    ];
    for (table, command) in commands_on(cx, &stored) {
        let verb = match (command.subtype, command.def()) {
            (AlterTableType::AT_SetTableSpace, _) => "SET TABLESPACE",
            (AlterTableType::AT_SetLogged, _) => "SET LOGGED",
            (AlterTableType::AT_SetUnLogged, _) => "SET UNLOGGED",
            (AlterTableType::AT_DetachPartition, Node::PartitionCmd(p)) if !p.concurrent => {
                "DETACH PARTITION"
            }
            _ => continue,
        };
        found.push((verb, table));
    }
    for (verb, table) in found {
        let blocked = match verb {
            "LOCK TABLE" => "writers",
            _ => "readers and writers",
        };
        let message = format!("{verb} blocks {blocked} of {table}.");
        cx.hit(Hit::new(&EXCLUSIVE_LOCK_MAINTENANCE, "", message).object(table));
    }
}

/// The commands of an ALTER TABLE on a table that others can see, with its name.
fn alter_commands<'t>(cx: &Cx<'_, 't>) -> Vec<(String, &'t nodes::AlterTableCmd)> {
    commands_on(cx, &[ObjectType::OBJECT_TABLE])
}

/// The same for other kinds of relations.
fn commands_on<'t>(
    cx: &Cx<'_, 't>,
    kinds: &[ObjectType::Type],
) -> Vec<(String, &'t nodes::AlterTableCmd)> {
    let Node::AlterTableStmt(alter) = cx.tree.statement else {
        return Vec::new();
    };
    let Some(table) = alter.relation().filter(|table| !is_temporary(table)) else {
        return Vec::new();
    };
    if !kinds.contains(&alter.objtype) {
        return Vec::new();
    }
    (alter.cmds().iter())
        .filter_map(|command| match command {
            Node::AlterTableCmd(command) => Some((table_name(table), command)),
            _ => None,
        })
        .collect()
}

/// Columns that an ALTER TABLE adds.
fn added_columns<'t>(cx: &Cx<'_, 't>) -> Vec<(String, &'t nodes::ColumnDef)> {
    (alter_commands(cx).into_iter())
        .filter(|(_, command)| command.subtype == AlterTableType::AT_AddColumn)
        .filter_map(|(table, command)| match command.def() {
            Node::ColumnDef(column) => Some((table, column)),
            _ => None,
        })
        .collect()
}

/// What a column's definition says beside its type.
#[derive(Default)]
struct Parts {
    not_null: bool,
    primary_key: bool,
    unique: bool,
    references: bool,
    default: bool,
    null_default: bool,
    volatile: bool,
    identity: bool,
    stored: bool,
}

/// Functions whose result differs from row to row.
const VOLATILE: [&str; 13] = [
    "random",
    "gen_random_uuid",
    "uuid_generate_v1",
    "uuid_generate_v1mc",
    "uuid_generate_v4",
    "uuidv4",
    "uuidv7",
    "clock_timestamp",
    "timeofday",
    "nextval",
    "setval",
    "random_normal",
    "gen_random_bytes",
];

impl Parts {
    fn of(column: &nodes::ColumnDef) -> Self {
        let mut parts = Parts::default();
        for node in column.constraints().iter() {
            let Node::Constraint(c) = node else { continue };
            match c.contype {
                ConstrType::CONSTR_NOTNULL => parts.not_null = true,
                ConstrType::CONSTR_PRIMARY => parts.primary_key = true,
                ConstrType::CONSTR_UNIQUE => parts.unique = true,
                ConstrType::CONSTR_FOREIGN => parts.references = true,
                ConstrType::CONSTR_IDENTITY => parts.identity = true,
                // Before 18 every generated column is stored and the parser says nothing else.
                ConstrType::CONSTR_GENERATED => parts.stored = c.generated_kind as u8 != b'v',
                ConstrType::CONSTR_DEFAULT => {
                    parts.default = true;
                    parts.null_default = matches!(tree::without_casts(c.raw_expr()), Node::A_Const(v) if v.val().is_none());
                    parts.volatile = tree::any(
                        c.raw_expr(),
                        |node| matches!(node, Node::FuncCall(call) if call.funcname().iter().next_back().and_then(|part| part.as_str()).is_some_and(|name| VOLATILE.contains(&name))),
                    );
                }
                _ => {}
            }
        }
        parts
    }
}

/// Whether the column's type is one of the serial ones.
pub(super) fn is_serial(column: &nodes::ColumnDef) -> bool {
    let names = column.type_name().map(|name| name.names());
    let last = names
        .and_then(|names| names.iter().next_back())
        .and_then(|name| name.sval());
    last.is_some_and(|name| {
        matches!(
            name,
            "serial" | "serial2" | "serial4" | "serial8" | "bigserial" | "smallserial"
        )
    })
}

fn has_option<'t>(options: impl Iterator<Item = &'t nodes::DefElem>, name: &str) -> bool {
    let mut options = options;
    options.any(|option| option.defname() == Some(name) && !is_off(option.arg()))
}

/// `schema.name` of an object to drop.
fn qualified(object: Node<'_>) -> String {
    match object {
        Node::NodeList(parts) => {
            let parts: Vec<&str> = parts.iter().filter_map(|part| part.as_str()).collect();
            parts.join(".")
        }
        other => other.as_str().unwrap_or_default().to_owned(),
    }
}
