//! Rules about attacks and secrets.

use pg_raw_parse::raw::SQLValueFunctionOp;
use pg_raw_parse::{Node, nodes};

use super::filter::fold::fold;
use crate::lint::hit::Hit;
use crate::lint::inspect::Cx;
use crate::lint::observe::Subject;
use crate::lint::profile::Test;
use crate::lint::rule::{Check, Rule, Severity};
use crate::lint::tree::{self, Block, Clause, Tree, Verb};
use crate::lint::value;
use crate::rule;
use crate::sql::{self, Lexing};

/// The rules of this family.
pub static RULES: &[&Rule] = &[
    &INJECTION_SHAPE,
    &PASSWORD_IN_DDL,
    &PLAINTEXT_PASSWORD,
    &DANGEROUS_FUNCTION,
    &BULK_SENSITIVE_READ,
    &INSECURE_CONNECTION,
];

rule! {
    /// The statement looks as if somebody had put SQL into a value: a condition made true by OR, a
    /// UNION that asks about the server, a destructive statement behind a harmless one, a comment
    /// that swallows a quote.
    pub static INJECTION_SHAPE = {
        id: "injection-shape",
        title: "SQL-injection shape",
        number: 11,
        class: Security,
        severity: Critical,
        enforce: Block,
        on: true,
        kinds: [
            ("tautology", "OR with something always true"),
            ("union-probe", "UNION that probes the server"),
            ("stacked", "a destructive statement behind another"),
            ("comment-tail", "a comment that swallows a quote"),
        ],
        examples: [("SELECT * FROM users WHERE name = 'x' OR '1' = '1'", "SELECT * FROM users WHERE name = $1")],
        remedy: "Bind parameters; rotate credentials if it is confirmed.",
        sources: ["https://owasp.org/www-community/attacks/SQL_Injection"],
        check: Check::Text(injection_shape),
    }
}

fn injection(cx: &mut Cx<'_, '_>, kind: &'static str) {
    let message = format!("Statement has the shape of an injected {kind}.");
    cx.hit(Hit::new(&INJECTION_SHAPE, kind, message));
}

fn injection_shape(cx: &mut Cx<'_, '_>) {
    let all = cx.all;
    for tree in all {
        for block in &tree.blocks {
            for node in block.conjuncts() {
                if tautology(cx, node) {
                    injection(cx, "tautology");
                }
            }
        }
        if union_probe(tree) {
            injection(cx, "union-probe");
        }
    }
    if stacked(all) {
        injection(cx, "stacked");
    }
    if comment_tail(cx.text) {
        cx.mark_sensitive();
        injection(cx, "comment-tail");
    }
}

fn tautology(cx: &mut Cx<'_, '_>, node: Node<'_>) -> bool {
    use pg_raw_parse::raw::BoolExprType;
    let Node::BoolExpr(or) = node else {
        return false;
    };
    if or.boolop != BoolExprType::OR_EXPR {
        return false;
    }
    let (mut always, mut other) = (false, false);
    for arm in or.args().iter() {
        if is_true(cx, arm) {
            always = true;
        } else if tree::any(arm, |n| matches!(n, Node::ColumnRef(_) | Node::SubLink(_))) {
            // SQLAlchemy's empty NOT IN: `x NOT IN (NULL) OR (1 = 1)`.
            other |= !tree::any(arm, |n| matches!(n, Node::A_Const(c) if c.val().is_none()));
        }
    }
    always && other
}

fn is_true(cx: &mut Cx<'_, '_>, node: Node<'_>) -> bool {
    fold(cx, node) == Some(true)
}

fn union_probe(tree: &Tree<'_>) -> bool {
    const ASKS: [&str; 5] = [
        "version",
        "current_database",
        "current_setting",
        "current_user",
        "pg_read_file",
    ];
    let arms: Vec<&Block<'_>> = (tree.outermost().map(|(_, b)| b))
        .filter(|b| !b.is_set_operation())
        .collect();
    let Some((first, rest)) = arms.split_first() else {
        return false;
    };
    if !first.tables().any(|table| !tree::is_system(table)) {
        return false;
    }
    rest.iter().any(|arm| {
        let targets: Vec<Node<'_>> = arm.clause(Clause::Target).collect();
        let null =
            |n: &Node<'_>| matches!(tree::without_casts(*n), Node::A_Const(c) if c.val().is_none());
        arm.tables().any(tree::is_system)
            || (arm.relations.is_empty() && targets.len() >= 2 && targets.iter().all(null))
            || targets.iter().any(|n| {
                tree::any(*n, |n| match n {
                    Node::FuncCall(call) => tree::function(call).is_some_and(|f| ASKS.contains(&f)),
                    Node::SQLValueFunction(value) => {
                        arm.relations.is_empty() && names_session(value.op)
                    }
                    _ => false,
                })
            })
    })
}

/// Whether a value without brackets tells who and where the session is; the others tell the time.
fn names_session(op: SQLValueFunctionOp::Type) -> bool {
    matches!(
        op,
        SQLValueFunctionOp::SVFOP_CURRENT_USER
            | SQLValueFunctionOp::SVFOP_CURRENT_ROLE
            | SQLValueFunctionOp::SVFOP_USER
            | SQLValueFunctionOp::SVFOP_SESSION_USER
            | SQLValueFunctionOp::SVFOP_CURRENT_CATALOG
            | SQLValueFunctionOp::SVFOP_CURRENT_SCHEMA
    )
}

fn stacked(all: &[Tree<'_>]) -> bool {
    let neutral = |t: &Tree<'_>| {
        matches!(
            t.statement,
            Node::TransactionStmt(_) | Node::VariableSetStmt(_)
        )
    };
    if all.len() < 2 || all.iter().any(neutral) {
        return false;
    }
    let mut seen = false;
    for tree in all {
        if seen && destructive(tree) {
            return true;
        }
        let query = matches!(
            tree.statement,
            Node::SelectStmt(_)
                | Node::InsertStmt(_)
                | Node::UpdateStmt(_)
                | Node::DeleteStmt(_)
                | Node::MergeStmt(_)
        );
        seen |= query
            && tree.blocks.iter().any(|block| {
                block
                    .exprs
                    .iter()
                    .any(|(_, n)| tree::any(*n, |n| matches!(n, Node::A_Const(_))))
            });
    }
    false
}

fn destructive(tree: &Tree<'_>) -> bool {
    match tree.statement {
        Node::DropStmt(_)
        | Node::TruncateStmt(_)
        | Node::AlterTableStmt(_)
        | Node::GrantStmt(_)
        | Node::GrantRoleStmt(_)
        | Node::CreateRoleStmt(_)
        | Node::AlterRoleStmt(_)
        | Node::DropRoleStmt(_)
        | Node::DropdbStmt(_)
        | Node::DropOwnedStmt(_)
        | Node::RenameStmt(_)
        | Node::AlterOwnerStmt(_)
        | Node::AlterRoleSetStmt(_)
        | Node::AlterSystemStmt(_) => true,
        Node::CopyStmt(copy) => copy.is_program,
        _ => calls(tree).iter().any(|name| dangerous(name)),
    }
}

fn comment_tail(text: &str) -> bool {
    let comments = sql::comments(text.as_bytes(), Lexing::default());
    let Some(&(start, end)) = comments.last() else {
        return false;
    };
    let rest = text.get(end as usize..).unwrap_or_default();
    let comment = text.get(start as usize..end as usize).unwrap_or_default();
    let Some(tail) = comment
        .strip_prefix("--")
        .filter(|_| rest.trim().is_empty())
    else {
        return false;
    };
    let tail = tail.strip_prefix(' ').unwrap_or(tail);
    tail.starts_with('\'') && tail.matches('\'').count() % 2 == 1
}

rule! {
    /// A password in clear text in CREATE or ALTER ROLE, in the options of a user mapping, in a
    /// subscription or in dblink_connect.
    ///
    /// The statement stands with it in the server's log, in pg_stat_activity and in the history of
    /// whoever typed it.
    ///
    /// Not reported: verifiers that are hashed already (SCRAM-SHA-256$…, md5…), which psql's \password
    /// sends, and PASSWORD NULL.
    pub static PASSWORD_IN_DDL = {
        id: "password-in-ddl",
        title: "Clear-text password in DDL",
        number: 12,
        class: Security,
        severity: Critical,
        enforce: Block,
        on: true,
        examples: [("CREATE ROLE app LOGIN PASSWORD 'x'", "CREATE ROLE app LOGIN PASSWORD NULL")],
        remedy: "Use psql's \\password or a SCRAM verifier made by the client.",
        sources: ["https://www.postgresql.org/docs/current/sql-createrole.html"],
        check: Check::Tree(password_in_ddl),
    }
}

/// Whether a connection string names a password.
fn has_password(conninfo: &str) -> bool {
    let conninfo = conninfo.to_ascii_lowercase();
    (conninfo.match_indices("password")).any(|(at, word)| {
        let bare = (conninfo.get(..at).unwrap_or_default().chars().next_back())
            .is_none_or(|before| !before.is_alphanumeric() && before != '_');
        let value = conninfo.get(at + word.len()..).unwrap_or_default();
        let value = value.trim_start().strip_prefix('=').map(str::trim_start);
        bare && value.is_some_and(|value| !value.is_empty() && !value.starts_with("''"))
    })
}

/// Connection strings that a statement carries.
fn conninfos(cx: &mut Cx<'_, '_>) -> Vec<String> {
    match cx.tree.statement {
        Node::CreateSubscriptionStmt(s) => {
            cx.mark_sensitive();
            return s.conninfo().map(str::to_owned).into_iter().collect();
        }
        Node::AlterSubscriptionStmt(s) => {
            cx.mark_sensitive();
            return s.conninfo().map(str::to_owned).into_iter().collect();
        }
        _ => {}
    }
    let mut arguments = Vec::new();
    for (_, root) in cx.tree.blocks.iter().flat_map(|block| &block.exprs) {
        tree::walk(*root, |node| {
            if let Node::FuncCall(call) = node
                && (call.funcname().iter().next_back())
                    .and_then(|part| part.as_str())
                    .is_some_and(|name| name.starts_with("dblink"))
            {
                arguments.extend(call.args().iter());
            }
            true
        });
    }
    (arguments.into_iter())
        .filter_map(|node| cx.string(node))
        .collect()
}

fn password_in_ddl(cx: &mut Cx<'_, '_>) {
    if conninfos(cx).iter().any(|conninfo| has_password(conninfo)) {
        cx.hit(Hit::new(&PASSWORD_IN_DDL, "", "A connection string has a password in clear text; it is in the server log and pg_stat_activity."));
    }
    let options: Vec<&nodes::DefElem> = match cx.tree.statement {
        Node::CreateRoleStmt(s) => s.options().iter().collect(),
        Node::AlterRoleStmt(s) => s.options().iter().collect(),
        Node::CreateUserMappingStmt(s) => (s.options().iter())
            .filter_map(|n| match n {
                Node::DefElem(d) => Some(d),
                _ => None,
            })
            .collect(),
        Node::AlterUserMappingStmt(s) => (s.options().iter())
            .filter_map(|n| match n {
                Node::DefElem(d) => Some(d),
                _ => None,
            })
            .collect(),
        _ => return,
    };
    for option in options {
        if option.defname() == Some("password")
            && let Some(secret) = option.arg().as_str()
        {
            cx.mark_sensitive();
            let hashed = secret.starts_with("SCRAM-SHA-256$")
                || (secret.starts_with("md5") && value::is_hashed(secret.as_bytes()));
            if !hashed {
                cx.hit(Hit::new(&PASSWORD_IN_DDL, "", "A password is in clear text in the statement, the server log and pg_stat_activity."));
            }
        }
    }
}

rule! {
    /// A password column that is compared with, or set to, a value that is not hashed: the table holds
    /// passwords as they are.
    ///
    /// Whoever reads the table or a backup can log in as everybody, here and wherever the same password
    /// is used.
    ///
    /// Not reported: columns such as password_hash, comparison with crypt(…), values in the form of a
    /// known hash, NULL and the empty string.
    pub static PLAINTEXT_PASSWORD = {
        id: "plaintext-password",
        title: "Password column compared or written in clear",
        number: 13,
        class: Security,
        severity: Critical,
        enforce: AtBind,
        on: true,
        kinds: [("compare", "compared"), ("write", "written")],
        examples: [("SELECT id FROM users WHERE password = 'x'", "SELECT password_hash FROM users WHERE id = $1")],
        remedy: "Store Argon2id or bcrypt; select the hash by user and verify it in the application, or use crypt().",
        sources: ["https://github.com/jarulraj/sqlcheck"],
        check: Check::Tree(plaintext_password),
    }
}

fn is_password(name: &str) -> bool {
    matches!(
        &*name.to_ascii_lowercase(),
        "password" | "passwd" | "pwd" | "user_password" | "pass_word" | "passphrase"
    )
}

fn plaintext_password(cx: &mut Cx<'_, '_>) {
    let tree = cx.tree;
    let written = |name: &str| {
        Hit::new(
            &PLAINTEXT_PASSWORD,
            "write",
            format!("Password column {name} is written in clear text."),
        )
    };
    for (index, block) in tree.blocks.iter().enumerate() {
        for (clause, root) in &block.exprs {
            if *clause == Clause::Set {
                continue;
            }
            let mut found = Vec::new();
            tree::walk(*root, |n| {
                if let Node::A_Expr(e) = n
                    && tree::is_plain_operator(e)
                    && tree::operator(e) == "="
                {
                    found.push((e.lexpr(), e.rexpr()));
                    found.push((e.rexpr(), e.lexpr()));
                }
                true
            });
            for (side, other) in found {
                let Some(column) =
                    tree::column(tree::without_casts(side)).filter(|c| is_password(c.name))
                else {
                    continue;
                };
                let hit = Hit::new(
                    &PLAINTEXT_PASSWORD,
                    "compare",
                    format!("Password column {} is compared in clear text.", column.name),
                )
                .at(cx.token(column.location));
                match tree::without_casts(other) {
                    Node::ParamRef(_) => cx.hit(hit.severity(Severity::Warn)),
                    other => cx.when(other, Test::ClearPassword, hit),
                }
            }
        }
        for (name, value) in assigned(block) {
            if is_password(name) {
                cx.when(value, Test::ClearPassword, written(name));
            }
        }
        if let Verb::Insert(insert) = block.verb {
            for (at, target) in insert.cols().iter().enumerate() {
                let Node::ResTarget(target) = target else {
                    continue;
                };
                let Some(name) = target.name().filter(|n| is_password(n)) else {
                    continue;
                };
                for source in &tree.blocks {
                    if source.parent != Some(index) || source.role != tree::Role::Source {
                        continue;
                    }
                    // INSERT … SELECT of constants or parameters.
                    if let Some(value) = source.clause(Clause::Target).nth(at)
                        && source
                            .clause(Clause::Target)
                            .all(|n| tree::star(n).is_none())
                    {
                        cx.when(value, Test::ClearPassword, written(name));
                    }
                    for row in source.clause(Clause::Values) {
                        if let Node::NodeList(row) = row
                            && let Some(value) = row.iter().nth(at)
                        {
                            cx.when(value, Test::ClearPassword, written(name));
                        }
                    }
                }
            }
        }
    }
}

/// What a block assigns: UPDATE … SET, ON CONFLICT DO UPDATE SET, both kinds of WHEN in MERGE.
fn assigned<'t>(block: &Block<'t>) -> Vec<(&'t str, Node<'t>)> {
    let mut found = Vec::new();
    let mut set = |target: Node<'t>| {
        if let Node::ResTarget(target) = target
            && let Some(name) = target.name()
        {
            found.push((name, one_of_row(target.val())));
        }
    };
    match block.verb {
        Verb::Update(update) => update.target_list().iter().for_each(|t| set(t.into())),
        Verb::Insert(insert) => (insert.on_conflict_clause().into_iter())
            .flat_map(|conflict| conflict.target_list().iter())
            .for_each(|target| set(target.into())),
        Verb::Merge(merge) => {
            for when in merge.merge_when_clauses().iter() {
                let when: Node<'t> = when.into();
                let Node::MergeWhenClause(when) = when else {
                    continue;
                };
                let mut values = when.values().iter();
                for target in when.target_list().iter() {
                    match (values.next(), target) {
                        (Some(value), Node::ResTarget(target)) => {
                            found.extend(target.name().map(|name| (name, value)));
                        }
                        (_, Node::ResTarget(target)) => {
                            let value = one_of_row(target.val());
                            found.extend(target.name().map(|name| (name, value)));
                        }
                        _ => {}
                    }
                }
            }
        }
        _ => {}
    }
    found
}

/// The value for one column of `(a, b) = (1, 2)`; any other value as it is.
fn one_of_row<'t>(value: Node<'t>) -> Node<'t> {
    let Node::MultiAssignRef(part) = value else {
        return value;
    };
    let place = usize::try_from(part.colno - 1).unwrap_or(usize::MAX);
    match part.source() {
        Node::RowExpr(row) => row.args().iter().nth(place).unwrap_or(Node::None),
        _ => Node::None,
    }
}

rule! {
    /// Functions and commands that read or write files of the server, run programs or talk to other
    /// servers: pg_read_file, pg_ls_dir, lo_import, dblink, COPY … PROGRAM, ALTER SYSTEM, functions in
    /// C or an untrusted language.
    ///
    /// An application hardly ever needs one; whoever got SQL into one of its values goes there next.
    /// pg_sleep is reported as a warning only.
    ///
    /// Not reported: COPY from and to the client, and the same words in strings and as names of
    /// columns.
    pub static DANGEROUS_FUNCTION = {
        id: "dangerous-function",
        title: "File, program or network access from SQL",
        number: 49,
        class: Security,
        severity: Critical,
        enforce: Block,
        on: true,
        examples: [("SELECT pg_read_file('x')", "COPY t TO STDOUT")],
        remedy: "Run it as an administrator, outside the path of the application.",
        sources: ["https://www.postgresql.org/docs/current/functions-admin.html"],
        check: Check::Tree(dangerous_function),
    }
}

fn dangerous(name: &str) -> bool {
    name.starts_with("dblink")
        || name.starts_with("pg_sleep")
        || name.starts_with("pg_ls_")
        || matches!(
            name,
            "pg_read_file"
                | "pg_read_binary_file"
                | "pg_stat_file"
                | "lo_import"
                | "lo_export"
                | "query_to_xml"
                | "database_to_xml"
        )
}

fn calls(tree: &Tree<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (_, root) in tree.blocks.iter().flat_map(|b| &b.exprs) {
        tree::walk(*root, |n| {
            if let Node::FuncCall(call) = n
                && let Some(name) = call.funcname().iter().next_back().and_then(|p| p.as_str())
            {
                found.push(name.to_owned());
            }
            true
        });
    }
    found
}

fn dangerous_function(cx: &mut Cx<'_, '_>) {
    let mut found: Vec<String> = calls(cx.tree)
        .into_iter()
        .filter(|n| dangerous(n))
        .collect();
    match cx.tree.statement {
        Node::CopyStmt(copy) if copy.is_program => found.push("COPY PROGRAM".into()),
        Node::CopyStmt(copy) if copy.filename().is_some() => {
            found.push("COPY with a file of the server".into())
        }
        Node::AlterSystemStmt(_) => found.push("ALTER SYSTEM".into()),
        Node::CreateFunctionStmt(f) => {
            let untrusted = f.options().iter().any(|option| {
                option.defname() == Some("language")
                    && option
                        .arg()
                        .as_str()
                        .is_some_and(|l| l.eq_ignore_ascii_case("c") || l.ends_with('u'))
            });
            if untrusted {
                found.push("A function in an untrusted language".into());
            }
        }
        _ => {}
    }
    for name in found {
        let severity = if name.starts_with("pg_sleep") {
            Severity::Warn
        } else {
            Severity::Critical
        };
        cx.hit(
            Hit::new(
                &DANGEROUS_FUNCTION,
                "",
                format!("{name} reaches outside the database."),
            )
            .severity(severity),
        );
    }
}

rule! {
    /// A hundred rows and more with columns that hold secrets or personal data were sent: passwords and
    /// their hashes, card numbers, social security numbers, account numbers, API keys.
    ///
    /// Columns are known by their names, in the text as in what the server says of the result; an alias
    /// or a star hides nothing.
    ///
    /// Others are named in `lint_sensitive_columns`, which also takes names off the list.
    ///
    /// Not reported: single rows, as for a login, and PostgreSQL's own tools. A column with another
    /// name is not recognised.
    pub static BULK_SENSITIVE_READ = {
        id: "bulk-sensitive-read",
        title: "Bulk read of sensitive columns",
        number: 50,
        class: Security,
        severity: Warn,
        enforce: Guard,
        on: true,
        examples: [],
        remedy: "Select only the columns that are needed; use masking views or column privileges.",
        sources: ["https://www.postgresql.org/docs/current/sql-grant.html"],
        check: Check::Engine,
    }
}

rule! {
    /// A program connects as a superuser, or without TLS from another machine.
    ///
    /// Whatever gets at the program's connection can do everything, or read and change everything that
    /// passes. With the action block the login is refused.
    ///
    /// Not reported: connections without TLS from this machine, and PostgreSQL's own tools (psql,
    /// pg_dump, pg_restore, pg_basebackup).
    pub static INSECURE_CONNECTION = {
        id: "insecure-connection",
        title: "Superuser or unencrypted client",
        number: 51,
        class: Security,
        severity: Warn,
        enforce: Block,
        on: true,
        kinds: [
            ("superuser", "the server's is_superuser is on"),
            ("no-tls", "without TLS from another machine"),
        ],
        examples: [],
        remedy: "Use a role with least privilege, and sslmode=verify-full.",
        sources: ["https://www.postgresql.org/docs/current/libpq-status.html#LIBPQ-PQPARAMETERSTATUS"],
        check: Check::Engine,
    }
}

/// The hits of a connection: `secure` if it is encrypted or local, `superuser` as its server says.
pub fn insecure(subject: &Subject, secure: bool, superuser: bool) -> Vec<Hit> {
    let who = match &*subject.app {
        "" => "A client",
        app => app,
    };
    let mut hits = Vec::new();
    if superuser && !subject.is_tool() {
        let text = format!("{who} connects as a superuser.");
        hits.push(Hit::new(&INSECURE_CONNECTION, "superuser", text));
    }
    if !secure && !subject.is_local() && !subject.is_tool() {
        let text = format!("{who} connects without TLS.");
        hits.push(Hit::new(&INSECURE_CONNECTION, "no-tls", text));
    }
    hits
}
