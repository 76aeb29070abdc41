//! Rules about new tables: their keys and the types of their columns.

use pg_raw_parse::raw::{AlterTableType, ConstrType};
use pg_raw_parse::{Node, nodes};

use super::ddl::is_serial;
use crate::lint::hit::Hit;
use crate::lint::inspect::Cx;
use crate::lint::rule::{Check, Rule};
use crate::lint::tree::{is_temporary, table_name};
use crate::rule;

/// The rules of this family.
pub static RULES: &[&Rule] = &[
    &TABLE_WITHOUT_PRIMARY_KEY,
    &INT4_PRIMARY_KEY,
    &TIMESTAMP_WITHOUT_TZ,
    &DISCOURAGED_TYPE,
    &SERIAL_TYPE,
];

rule! {
    /// A table without a primary key cannot be replicated logically with its updates and deletes,
    /// and two equal rows in it cannot be told apart.
    ///
    /// Not reported: temporary tables, partitions and children (the parent's matter), tables OF a
    /// type or LIKE another with its indexes, CREATE TABLE AS.
    pub static TABLE_WITHOUT_PRIMARY_KEY = {
        id: "table-without-primary-key",
        title: "CREATE TABLE without a primary key",
        number: 53,
        class: Ddl,
        severity: Warn,
        enforce: Block,
        on: true,
        examples: [("CREATE TABLE logs (line text)", "CREATE TABLE logs (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, line text)")],
        remedy: "Add one: GENERATED … AS IDENTITY, natural or composite.",
        sources: ["https://supabase.github.io/splinter"],
        check: Check::Tree(table_without_primary_key),
    }
}

fn table_without_primary_key(cx: &mut Cx<'_, '_>) {
    let Some((create, table)) = created(cx) else {
        return;
    };
    let foreign = create.partbound().is_some()
        || !create.inh_relations().is_empty()
        || create.of_typename().is_some();
    if foreign || is_temporary(table) {
        return;
    }
    let has_key = create.table_elts().iter().any(|element| match element {
        Node::ColumnDef(column) => constraint(column, ConstrType::CONSTR_PRIMARY),
        Node::Constraint(c) => c.contype == ConstrType::CONSTR_PRIMARY,
        Node::TableLikeClause(like) => like.options & INCLUDING_INDEXES != 0,
        _ => false,
    });
    if !has_key {
        let name = table_name(table);
        let span = cx.token(table.location);
        let message = format!(
            "{name} has no primary key: no logical replication of updates, no safe removal of duplicates."
        );
        cx.hit(
            Hit::new(&TABLE_WITHOUT_PRIMARY_KEY, "", message)
                .object(name)
                .at(span),
        );
    }
}

/// `CREATE_TABLE_LIKE_INDEXES` of the server.
const INCLUDING_INDEXES: u32 = 1 << 6;

rule! {
    /// A primary key of type integer ends at 2 147 483 647; a busy table gets there in a few years,
    /// and then every INSERT fails until the column is rewritten.
    ///
    /// Not reported: keys of several columns, keys that are themselves references, smallint
    /// (meant for short lists).
    pub static INT4_PRIMARY_KEY = {
        id: "int4-primary-key",
        title: "32-bit primary key",
        number: 54,
        class: Ddl,
        severity: Info,
        enforce: Observe,
        on: true,
        kinds: [
            ("near-end", "a column that a sequence fills has used half of its numbers (the catalogue tells)"),
        ],
        examples: [("CREATE TABLE a (id integer PRIMARY KEY)", "CREATE TABLE a (id bigint PRIMARY KEY)")],
        remedy: "Use bigint GENERATED … AS IDENTITY.",
        sources: ["https://squawkhq.com/docs/prefer-bigint-over-int"],
        check: Check::Tree(int4_primary_key),
    }
}

fn int4_primary_key(cx: &mut Cx<'_, '_>) {
    let elements: Vec<Node<'_>> = match cx.tree.statement {
        Node::CreateStmt(create) => create.table_elts().iter().collect(),
        _ => Vec::new(),
    };
    let keys: Vec<&str> = (elements.iter())
        .filter_map(|element| match *element {
            Node::Constraint(c) if c.contype == ConstrType::CONSTR_PRIMARY => Some(c),
            _ => None,
        })
        .flat_map(|c| c.keys().iter().filter_map(|key| key.as_str()))
        .collect();
    let references: Vec<&str> = (elements.iter())
        .filter_map(|element| match *element {
            Node::Constraint(c) if c.contype == ConstrType::CONSTR_FOREIGN => Some(c),
            _ => None,
        })
        .flat_map(|c| c.fk_attrs().iter().filter_map(|key| key.as_str()))
        .collect();
    for (table, column, name) in columns(cx) {
        let alone = constraint(column, ConstrType::CONSTR_PRIMARY) || keys == [name];
        let short = matches!(
            type_of(column),
            "int4" | "serial" | "serial4" | "smallserial" | "serial2"
        );
        let reference =
            constraint(column, ConstrType::CONSTR_FOREIGN) || references.contains(&name);
        if alone && short && !reference {
            let span = cx.token(column.location);
            let message = format!("{table}.{name} overflows at {}.", limit(column));
            cx.hit(
                Hit::new(&INT4_PRIMARY_KEY, "", message)
                    .object(table)
                    .at(span),
            );
        }
    }
}

fn limit(column: &nodes::ColumnDef) -> &'static str {
    match type_of(column) {
        "smallserial" | "serial2" => "32 767",
        _ => "2 147 483 647",
    }
}

rule! {
    /// timestamp without time zone stores what a clock on some wall showed; which wall is lost. Two
    /// sessions with different TimeZone settings write and read different moments.
    ///
    /// It cannot be compared with now() without a silent conversion, and an hour comes twice in autumn.
    ///
    /// Not reported: casts and literals in queries, and timestamptz.
    pub static TIMESTAMP_WITHOUT_TZ = {
        id: "timestamp-without-tz",
        title: "timestamp without time zone",
        number: 55,
        class: Ddl,
        severity: Info,
        enforce: Observe,
        on: true,
        examples: [("CREATE TABLE a (id bigint PRIMARY KEY, at timestamp)", "CREATE TABLE a (id bigint PRIMARY KEY, at timestamptz)")],
        remedy: "Use timestamptz (Rails: datetime_type = :timestamptz; Prisma: @db.Timestamptz).",
        sources: ["https://wiki.postgresql.org/wiki/Don%27t_Do_This#Don.27t_use_timestamp_.28without_time_zone.29"],
        check: Check::Tree(timestamp_without_tz),
    }
}

fn timestamp_without_tz(cx: &mut Cx<'_, '_>) {
    for (table, column, name) in columns(cx) {
        if type_of(column) == "timestamp" {
            let span = cx.token(column.location);
            let message = format!("{name} loses the time zone.");
            cx.hit(
                Hit::new(&TIMESTAMP_WITHOUT_TZ, "", message)
                    .object(table)
                    .at(span),
            );
        }
    }
}

rule! {
    /// Types that do something else than people expect: char(n) pads with blanks, money depends on
    /// lc_monetary and has no currency, timetz cannot know daylight saving, precision 0 rounds
    /// instead of cutting off, and amounts in floating point do not add up.
    pub static DISCOURAGED_TYPE = {
        id: "discouraged-type",
        title: "Discouraged column type",
        number: 56,
        class: Ddl,
        severity: Info,
        enforce: Observe,
        on: true,
        kinds: [
            ("char-n", "char(n)"),
            ("money", "money"),
            ("timetz", "time with time zone"),
            ("precision-0", "time or timestamp with precision 0"),
            ("float-money", "an amount in floating point"),
            ("varchar-n", "varchar(n); never reported by itself"),
        ],
        examples: [("CREATE TABLE a (id bigint PRIMARY KEY, iso char(2))", "CREATE TABLE a (id bigint PRIMARY KEY, iso text)")],
        remedy: "Use text (with a CHECK), numeric, timestamptz.",
        sources: ["https://wiki.postgresql.org/wiki/Don%27t_Do_This#Text_storage"],
        check: Check::Tree(discouraged_type),
    }
}

/// Parts of names of columns that hold amounts of money.
const AMOUNTS: [&str; 16] = [
    "price", "amount", "total", "subtotal", "balance", "cost", "fee", "tax", "salary", "revenue",
    "discount", "payment", "refund", "vat", "wage", "budget",
];

fn discouraged_type(cx: &mut Cx<'_, '_>) {
    for (table, column, name) in columns(cx) {
        let amount = || {
            words(name).iter().any(|word| {
                AMOUNTS
                    .iter()
                    .any(|known| word == known || word.strip_suffix('s') == Some(known))
            })
        };
        let (kind, reason) = match type_of(column) {
            "bpchar" => ("char-n", "char(n) pads with blanks"),
            "money" => (
                "money",
                "money depends on lc_monetary and knows no currency",
            ),
            "timetz" => (
                "timetz",
                "a time of day with a zone knows no daylight saving",
            ),
            "timestamp" | "timestamptz" | "time" if zero_precision(cx, column) => {
                ("precision-0", "precision 0 rounds up into the future")
            }
            "float4" | "float8" if amount() => {
                ("float-money", "amounts in floating point do not add up")
            }
            _ => continue,
        };
        let span = cx.token(column.location);
        let message = format!("{name}: {reason}.");
        cx.hit(
            Hit::new(&DISCOURAGED_TYPE, kind, message)
                .object(table)
                .at(span),
        );
    }
}

/// The words of a name, in lower case: `total_amount` and `totalAmount` have two.
fn words(name: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut small = false;
    for letter in name.chars() {
        if letter == '_' || (small && letter.is_ascii_uppercase()) {
            found.push(String::new());
        }
        small = letter.is_ascii_lowercase();
        if let Some(word) = found.last_mut().filter(|_| letter != '_') {
            word.push(letter.to_ascii_lowercase());
        }
    }
    found
}

fn zero_precision(cx: &mut Cx<'_, '_>, column: &nodes::ColumnDef) -> bool {
    let first = column.type_name().and_then(|name| name.typmods().first());
    first.is_some_and(|node| cx.int(node) == Some(0))
}

rule! {
    /// serial is no type but an old abbreviation: it makes a sequence with its own owner and grants,
    /// which are forgotten when the table's are changed.
    ///
    /// An identity column is the standard's form; its sequence belongs to the column, and a plain
    /// INSERT cannot write over its values by mistake.
    ///
    /// Not reported: identity columns, and a default that names a sequence.
    pub static SERIAL_TYPE = {
        id: "serial-type",
        title: "serial",
        number: 57,
        class: Ddl,
        severity: Info,
        enforce: Observe,
        on: true,
        examples: [("CREATE TABLE a (id bigserial PRIMARY KEY)", "CREATE TABLE a (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY)")],
        remedy: "Use GENERATED … AS IDENTITY.",
        sources: ["https://wiki.postgresql.org/wiki/Don%27t_Do_This#Don.27t_use_serial"],
        check: Check::Tree(serial_type),
    }
}

fn serial_type(cx: &mut Cx<'_, '_>) {
    for (table, column, name) in columns(cx) {
        if is_serial(column) {
            let span = cx.token(column.location);
            let message = format!("{name}: serial hides a sequence with its own owner and grants.");
            cx.hit(Hit::new(&SERIAL_TYPE, "", message).object(table).at(span));
        }
    }
}

fn created<'t>(cx: &Cx<'_, 't>) -> Option<(&'t nodes::CreateStmt, &'t nodes::RangeVar)> {
    match cx.tree.statement {
        Node::CreateStmt(create) => Some((create, create.relation()?)),
        _ => None,
    }
}

/// Columns that a CREATE TABLE, ADD COLUMN or ALTER COLUMN TYPE defines: table, column, its name.
fn columns<'t>(cx: &Cx<'_, 't>) -> Vec<(String, &'t nodes::ColumnDef, &'t str)> {
    if let Some((create, table)) = created(cx) {
        return (create.table_elts().iter())
            .filter_map(|element| match element {
                Node::ColumnDef(column) => Some((
                    table_name(table),
                    column,
                    column.colname().unwrap_or_default(),
                )),
                _ => None,
            })
            .collect();
    }
    let Node::AlterTableStmt(alter) = cx.tree.statement else {
        return Vec::new();
    };
    let Some(table) = alter.relation() else {
        return Vec::new();
    };
    (alter.cmds().iter())
        .filter_map(|command| match command {
            Node::AlterTableCmd(command)
                if matches!(
                    command.subtype,
                    AlterTableType::AT_AddColumn | AlterTableType::AT_AlterColumnType
                ) =>
            {
                match command.def() {
                    Node::ColumnDef(column) => {
                        let name = column.colname().or(command.name()).unwrap_or_default();
                        Some((table_name(table), column, name))
                    }
                    _ => None,
                }
            }
            _ => None,
        })
        .collect()
}

fn constraint(column: &nodes::ColumnDef, kind: ConstrType::Type) -> bool {
    (column.constraints().iter())
        .any(|node| matches!(node, Node::Constraint(c) if c.contype == kind))
}

/// The last part of a column's type, as the parser names it: `int4` for integer.
fn type_of(column: &nodes::ColumnDef) -> &str {
    (column.type_name())
        .and_then(|name| name.names().iter().next_back())
        .and_then(|name| name.sval())
        .unwrap_or_default()
}
