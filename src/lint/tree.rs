//! The tree of one statement, laid out for rules: its query blocks, and the expressions of each.
//!
//! A **block** is one `SELECT` (each arm of a set operation is one), `VALUES`, `INSERT`, `UPDATE`,
//! `DELETE` or `MERGE`. Expressions belong to the innermost block around them; a subquery in an
//! expression is a block of its own, and [`walk`] does not enter it. Nothing here recurses along
//! the text: long chains cost memory, not stack.

use pg_raw_parse::raw::{A_Expr_Kind, SetOperation, SubLinkType};
use pg_raw_parse::walk::{Recurse, walk_manual};
use pg_raw_parse::{ConstValue, Node, nodes};

/// What is around the statement that a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrapper {
    /// Nothing.
    None,
    /// `EXPLAIN`; with `ANALYZE` the statement is executed.
    Explain {
        /// Whether it is.
        analyze: bool,
    },
    /// `PREPARE name AS`.
    Prepare,
    /// `DECLARE name CURSOR FOR`.
    Cursor,
    /// `COPY (query) TO`.
    Copy,
    /// `CREATE VIEW`.
    View,
    /// `CREATE TABLE AS`, `CREATE MATERIALIZED VIEW`, `SELECT INTO`.
    TableAs,
}

/// What a block is for in the block around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It is the statement.
    Outermost,
    /// An arm of a set operation that is itself at the role's place; see [`Block::arm_of`].
    Arm,
    /// A common table expression.
    Cte,
    /// A subquery in FROM.
    From,
    /// A subquery in an expression.
    Expression,
    /// The rows of an INSERT.
    Source,
}

/// The part of a block in which an expression stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clause {
    /// The select list.
    Target,
    /// `DISTINCT ON (…)`.
    DistinctOn,
    /// Arguments of a function in FROM, of TABLESAMPLE.
    From,
    /// The condition of a JOIN.
    On,
    /// WHERE.
    Where,
    /// GROUP BY.
    GroupBy,
    /// HAVING.
    Having,
    /// WINDOW.
    Window,
    /// ORDER BY.
    OrderBy,
    /// LIMIT, FETCH.
    Limit,
    /// OFFSET.
    Offset,
    /// A row of VALUES.
    Values,
    /// A new value in UPDATE, MERGE or ON CONFLICT DO UPDATE.
    Set,
    /// RETURNING.
    Returning,
    /// Conflict targets and the like.
    Other,
}

/// The statement that makes a block.
#[derive(Clone, Copy)]
pub enum Verb<'t> {
    /// One SELECT or VALUES; for a set operation the node that joins two arms.
    Select(&'t nodes::SelectStmt),
    /// INSERT.
    Insert(&'t nodes::InsertStmt),
    /// UPDATE.
    Update(&'t nodes::UpdateStmt),
    /// DELETE.
    Delete(&'t nodes::DeleteStmt),
    /// MERGE.
    Merge(&'t nodes::MergeStmt),
}

/// What a relation of FROM (or the target of a write) is.
#[derive(Clone, Copy)]
pub enum Source<'t> {
    /// A table or view of the database.
    Table(&'t nodes::RangeVar),
    /// A common table expression; the block that it names, if known.
    Cte(Option<usize>),
    /// A subquery: its block.
    Subquery(usize),
    /// A function.
    Function,
    /// XMLTABLE, JSON_TABLE.
    TableFunction,
}

/// One leaf of FROM, or the target of a write.
#[derive(Clone, Copy)]
pub struct Relation<'t> {
    /// What it is.
    pub source: Source<'t>,
    /// The name by which columns refer to it; empty if it has none.
    pub name: &'t str,
    /// LATERAL.
    pub lateral: bool,
    /// TABLESAMPLE.
    pub sampled: bool,
    /// It is what an INSERT, UPDATE, DELETE or MERGE writes.
    pub target: bool,
    /// Byte in the text, or -1.
    pub location: i32,
}

impl<'t> Relation<'t> {
    /// The table, if it is one of the database (no common table expression).
    pub fn table(&self) -> Option<&'t nodes::RangeVar> {
        match self.source {
            Source::Table(table) => Some(table),
            _ => None,
        }
    }
}

/// A JOIN.
#[derive(Clone, Copy)]
pub struct Join<'t> {
    /// Its node.
    pub node: &'t nodes::JoinExpr,
    /// Relations of its left side: indices into [`Block::relations`].
    pub left: (usize, usize),
    /// Relations of its right side.
    pub right: (usize, usize),
}

/// See the module.
pub struct Block<'t> {
    /// The statement.
    pub verb: Verb<'t>,
    /// The block around it.
    pub parent: Option<usize>,
    /// What it is for there.
    pub role: Role,
    /// For an arm: the block of the set operation.
    pub arm_of: Option<usize>,
    /// Its expressions, in the order of the text, roughly.
    pub exprs: Vec<(Clause, Node<'t>)>,
    /// Leaves of FROM; for a write the target comes first.
    pub relations: Vec<Relation<'t>>,
    /// JOINs of FROM.
    pub joins: Vec<Join<'t>>,
    /// Common table expressions that this block defines: name, block, whether RECURSIVE.
    pub ctes: Vec<(&'t str, usize, bool)>,
}

impl<'t> Block<'t> {
    /// The SELECT that it is.
    pub fn select(&self) -> Option<&'t nodes::SelectStmt> {
        match self.verb {
            Verb::Select(select) => Some(select),
            _ => None,
        }
    }

    /// Whether it joins arms by UNION, INTERSECT or EXCEPT.
    pub fn is_set_operation(&self) -> bool {
        self.select()
            .is_some_and(|select| select.op != SetOperation::SETOP_NONE)
    }

    /// Expressions of one clause.
    pub fn clause(&self, clause: Clause) -> impl Iterator<Item = Node<'t>> + '_ {
        (self.exprs.iter())
            .filter(move |(of, _)| *of == clause)
            .map(|(_, node)| *node)
    }

    /// The conditions that rows must meet: WHERE and ON, split at AND.
    pub fn conjuncts(&self) -> Vec<Node<'t>> {
        let mut found = Vec::new();
        for (clause, node) in &self.exprs {
            if matches!(clause, Clause::Where | Clause::On) {
                conjuncts(*node, &mut found);
            }
        }
        found
    }

    /// Tables of the database that it reads or writes.
    pub fn tables(&self) -> impl Iterator<Item = &'t nodes::RangeVar> + '_ {
        self.relations.iter().filter_map(Relation::table)
    }
}

/// One statement.
pub struct Tree<'t> {
    /// The whole statement.
    pub statement: Node<'t>,
    /// What is around the query in it.
    pub wrapper: Wrapper,
    /// Its query blocks, the outermost first; empty for utilities.
    pub blocks: Vec<Block<'t>>,
}

impl<'t> Tree<'t> {
    /// Lays a statement out.
    pub fn new(statement: Node<'t>) -> Self {
        let (wrapper, query) = unwrap(statement);
        let mut tree = Tree {
            statement,
            wrapper,
            blocks: Vec::new(),
        };
        Builder::run(&mut tree.blocks, query);
        tree
    }

    /// Whether every table that it names belongs to the system, and there is one: what drivers and
    /// tools ask about the database itself.
    pub fn is_introspection(&self) -> bool {
        let mut tables = self.blocks.iter().flat_map(Block::tables).peekable();
        tables.peek().is_some() && tables.all(is_system)
    }

    /// The outermost block and the arms it is made of: the blocks whose rows the client gets.
    pub fn outermost(&self) -> impl Iterator<Item = (usize, &Block<'t>)> + '_ {
        (self.blocks.iter().enumerate()).filter(|(_, block)| {
            let mut block = *block;
            loop {
                match (block.role, block.arm_of) {
                    (Role::Outermost, _) => return true,
                    (Role::Arm, Some(of)) => block = &self.blocks[of],
                    _ => return false,
                }
            }
        })
    }

    /// The relation that a column's qualifier names: in this block, else in those around it.
    pub fn resolve(&self, block: usize, qualifier: &str) -> Option<(usize, usize)> {
        let mut at = Some(block);
        while let Some(index) = at {
            let here = &self.blocks[index];
            if let Some(found) = here.relations.iter().position(|r| r.name == qualifier) {
                return Some((index, found));
            }
            at = here.parent;
        }
        None
    }
}

/// Whether a table belongs to the system.
pub fn is_system(table: &nodes::RangeVar) -> bool {
    match table.schemaname() {
        Some(schema) => matches!(schema, "pg_catalog" | "information_schema" | "pg_toast"),
        None => table.relname().is_some_and(|name| name.starts_with("pg_")),
    }
}

/// Whether a table is known to be the session's own.
pub fn is_temporary(table: &nodes::RangeVar) -> bool {
    const TEMPORARY: u8 = b't';
    table.relpersistence as u8 == TEMPORARY
        || (table.schemaname()).is_some_and(|s| s == "pg_temp" || s.starts_with("pg_temp_"))
}

/// `schema.table` as written.
pub fn table_name(table: &nodes::RangeVar) -> String {
    let name = table.relname().unwrap_or_default();
    match table.schemaname() {
        Some(schema) => format!("{schema}.{name}"),
        None => name.to_owned(),
    }
}

fn unwrap(statement: Node<'_>) -> (Wrapper, Node<'_>) {
    match statement {
        Node::ExplainStmt(explain) => {
            let analyze = explain
                .options()
                .iter()
                .any(|option| option.defname() == Some("analyze") && !is_off(option.arg()));
            (Wrapper::Explain { analyze }, explain.query())
        }
        Node::PrepareStmt(prepare) => (Wrapper::Prepare, prepare.query()),
        Node::DeclareCursorStmt(cursor) => (Wrapper::Cursor, cursor.query()),
        Node::CopyStmt(copy) => (Wrapper::Copy, copy.query()),
        Node::ViewStmt(view) => (Wrapper::View, view.query()),
        Node::CreateTableAsStmt(create) => (Wrapper::TableAs, create.query()),
        Node::SelectStmt(select) if select.into_clause().is_some() => (Wrapper::TableAs, statement),
        _ => (Wrapper::None, statement),
    }
}

/// Whether an option's argument turns it off.
pub fn is_off(arg: Node<'_>) -> bool {
    match arg {
        Node::Integer(n) => n.ival == 0,
        Node::Boolean(b) => !b.boolval,
        _ => arg.as_str().is_some_and(|word| {
            matches!(
                word.to_ascii_lowercase().as_str(),
                "off" | "false" | "0" | "no"
            )
        }),
    }
}

/// A query that still has to be laid out.
struct Waiting<'t> {
    node: Node<'t>,
    parent: Option<usize>,
    role: Role,
    arm_of: Option<usize>,
    /// Its number was promised to somebody.
    index: usize,
}

struct Builder<'b, 't> {
    blocks: &'b mut Vec<Block<'t>>,
    waiting: Vec<Waiting<'t>>,
    promised: usize,
}

impl<'b, 't> Builder<'b, 't> {
    fn run(blocks: &'b mut Vec<Block<'t>>, query: Node<'t>) {
        let mut builder = Builder {
            blocks,
            waiting: Vec::new(),
            promised: 0,
        };
        builder.expect(query, None, Role::Outermost, None);
        // First in, first out: blocks get the numbers that they were promised.
        let mut at = 0;
        while at < builder.waiting.len() {
            let next = &builder.waiting[at];
            let (node, parent, role, arm_of, index) =
                (next.node, next.parent, next.role, next.arm_of, next.index);
            at += 1;
            builder.block(node, parent, role, arm_of, index);
        }
    }

    /// Promises a block for `node`; `None` if it is no query.
    fn expect(
        &mut self,
        node: Node<'t>,
        parent: Option<usize>,
        role: Role,
        arm_of: Option<usize>,
    ) -> Option<usize> {
        if !matches!(
            node,
            Node::SelectStmt(_)
                | Node::InsertStmt(_)
                | Node::UpdateStmt(_)
                | Node::DeleteStmt(_)
                | Node::MergeStmt(_)
        ) {
            return None;
        }
        let index = self.promised;
        self.promised += 1;
        self.waiting.push(Waiting {
            node,
            parent,
            role,
            arm_of,
            index,
        });
        Some(index)
    }

    fn block(
        &mut self,
        node: Node<'t>,
        parent: Option<usize>,
        role: Role,
        arm_of: Option<usize>,
        index: usize,
    ) {
        debug_assert_eq!(index, self.blocks.len());
        let verb = match node {
            Node::SelectStmt(s) => Verb::Select(s),
            Node::InsertStmt(s) => Verb::Insert(s),
            Node::UpdateStmt(s) => Verb::Update(s),
            Node::DeleteStmt(s) => Verb::Delete(s),
            Node::MergeStmt(s) => Verb::Merge(s),
            _ => return,
        };
        self.blocks.push(Block {
            verb,
            parent,
            role,
            arm_of,
            exprs: Vec::new(),
            relations: Vec::new(),
            joins: Vec::new(),
            ctes: Vec::new(),
        });
        match verb {
            Verb::Select(select) => self.select(index, select),
            Verb::Insert(insert) => self.insert(index, insert),
            Verb::Update(update) => self.update(index, update),
            Verb::Delete(delete) => self.delete(index, delete),
            Verb::Merge(merge) => self.merge(index, merge),
        }
    }

    fn select(&mut self, at: usize, select: &'t nodes::SelectStmt) {
        self.with(at, select.with_clause());
        if select.op != SetOperation::SETOP_NONE {
            for arm in [select.larg(), select.rarg()].into_iter().flatten() {
                // An arm sees what the operation's own WITH defines.
                self.expect(Node::SelectStmt(arm), Some(at), Role::Arm, Some(at));
            }
        }
        self.from(at, select.from_clause().iter());
        for target in select.target_list().iter() {
            self.expr(at, Clause::Target, target.val());
        }
        for node in select.distinct_clause().iter() {
            self.expr(at, Clause::DistinctOn, node);
        }
        self.expr(at, Clause::Where, select.where_clause());
        for node in select.group_clause().iter() {
            self.expr(at, Clause::GroupBy, node);
        }
        self.expr(at, Clause::Having, select.having_clause());
        for node in select.window_clause().iter() {
            self.expr(at, Clause::Window, node);
        }
        for row in select.values_lists().iter() {
            self.expr(at, Clause::Values, row);
        }
        for node in select.sort_clause().iter() {
            self.expr(at, Clause::OrderBy, node.into());
        }
        self.expr(at, Clause::Limit, select.limit_count());
        self.expr(at, Clause::Offset, select.limit_offset());
    }

    fn insert(&mut self, at: usize, insert: &'t nodes::InsertStmt) {
        self.with(at, insert.with_clause());
        self.target(at, insert.relation());
        self.expect(insert.select_stmt(), Some(at), Role::Source, None);
        if let Some(conflict) = insert.on_conflict_clause() {
            for target in conflict.target_list().iter() {
                self.assigned(at, target.into());
            }
            self.expr(at, Clause::Other, conflict.where_clause());
        }
        self.returning(at, insert.returning_clause());
    }

    fn update(&mut self, at: usize, update: &'t nodes::UpdateStmt) {
        self.with(at, update.with_clause());
        self.target(at, update.relation());
        self.from(at, update.from_clause().iter());
        for target in update.target_list().iter() {
            self.assigned(at, target.into());
        }
        self.expr(at, Clause::Where, update.where_clause());
        self.returning(at, update.returning_clause());
    }

    fn delete(&mut self, at: usize, delete: &'t nodes::DeleteStmt) {
        self.with(at, delete.with_clause());
        self.target(at, delete.relation());
        self.from(at, delete.using_clause().iter());
        self.expr(at, Clause::Where, delete.where_clause());
        self.returning(at, delete.returning_clause());
    }

    fn merge(&mut self, at: usize, merge: &'t nodes::MergeStmt) {
        self.with(at, merge.with_clause());
        self.target(at, merge.relation());
        self.from(at, std::iter::once(merge.source_relation()));
        self.expr(at, Clause::On, merge.join_condition());
        for when in merge.merge_when_clauses().iter() {
            let when: Node<'t> = when.into();
            if let Node::MergeWhenClause(when) = when {
                self.expr(at, Clause::Other, when.condition());
                for target in when.target_list().iter() {
                    self.assigned(at, target);
                }
                for value in when.values().iter() {
                    self.expr(at, Clause::Values, value);
                }
            }
        }
    }

    fn assigned(&mut self, at: usize, target: Node<'t>) {
        match target {
            Node::ResTarget(target) => self.expr(at, Clause::Set, target.val()),
            other => self.expr(at, Clause::Set, other),
        }
    }

    fn returning(&mut self, at: usize, clause: Option<&'t nodes::ReturningClause>) {
        for target in clause.into_iter().flat_map(|clause| clause.exprs().iter()) {
            match target {
                Node::ResTarget(target) => self.expr(at, Clause::Returning, target.val()),
                other => self.expr(at, Clause::Returning, other),
            }
        }
    }

    fn with(&mut self, at: usize, with: Option<&'t nodes::WithClause>) {
        let Some(with) = with else { return };
        for cte in with.ctes().iter() {
            let cte: Node<'t> = cte.into();
            if let Node::CommonTableExpr(cte) = cte
                && let Some(index) = self.expect(cte.ctequery(), Some(at), Role::Cte, None)
            {
                let name = cte.ctename().unwrap_or_default();
                self.blocks[at].ctes.push((name, index, with.recursive));
            }
        }
    }

    fn target(&mut self, at: usize, relation: Option<&'t nodes::RangeVar>) {
        if let Some(table) = relation {
            let name = (table.alias().and_then(|alias| alias.aliasname()))
                .or(table.relname())
                .unwrap_or_default();
            self.blocks[at].relations.push(Relation {
                source: Source::Table(table),
                name,
                lateral: false,
                sampled: false,
                target: true,
                location: table.location,
            });
        }
    }

    /// FROM: leaves from left to right, joins after their sides.
    fn from(&mut self, at: usize, list: impl Iterator<Item = Node<'t>>) {
        enum Step<'t> {
            Visit(Node<'t>),
            Middle(&'t nodes::JoinExpr, usize),
            End(&'t nodes::JoinExpr, usize, usize),
        }
        for item in list {
            let mut steps = vec![Step::Visit(item)];
            while let Some(step) = steps.pop() {
                let here = self.blocks[at].relations.len();
                match step {
                    Step::Visit(Node::JoinExpr(join)) => {
                        steps.push(Step::Middle(join, here));
                        steps.push(Step::Visit(join.larg()));
                    }
                    Step::Middle(join, left) => {
                        steps.push(Step::End(join, left, here));
                        steps.push(Step::Visit(join.rarg()));
                    }
                    Step::End(join, left, right) => {
                        self.expr(at, Clause::On, join.quals());
                        self.blocks[at].joins.push(Join {
                            node: join,
                            left: (left, right),
                            right: (right, here),
                        });
                    }
                    Step::Visit(leaf) => self.leaf(at, leaf, false),
                }
            }
        }
    }

    fn leaf(&mut self, at: usize, leaf: Node<'t>, sampled: bool) {
        let alias = |alias: Option<&'t nodes::Alias>| alias.and_then(|a| a.aliasname());
        let relation = match leaf {
            Node::RangeVar(table) => Relation {
                source: match table.schemaname() {
                    None => match self.cte(at, table.relname().unwrap_or_default()) {
                        Some(index) => Source::Cte(Some(index)),
                        None => Source::Table(table),
                    },
                    Some(_) => Source::Table(table),
                },
                name: alias(table.alias()).or(table.relname()).unwrap_or_default(),
                lateral: false,
                sampled,
                target: false,
                location: table.location,
            },
            Node::RangeSubselect(sub) => {
                let Some(index) = self.expect(sub.subquery(), Some(at), Role::From, None) else {
                    return;
                };
                Relation {
                    source: Source::Subquery(index),
                    name: alias(sub.alias()).unwrap_or_default(),
                    lateral: sub.lateral,
                    sampled,
                    target: false,
                    location: -1,
                }
            }
            Node::RangeFunction(function) => {
                for part in function.functions().iter() {
                    self.expr(at, Clause::From, part);
                }
                Relation {
                    source: Source::Function,
                    name: alias(function.alias()).unwrap_or_default(),
                    lateral: true,
                    sampled,
                    target: false,
                    location: -1,
                }
            }
            Node::RangeTableSample(sample) => {
                for arg in sample.args().iter() {
                    self.expr(at, Clause::From, arg);
                }
                // TABLESAMPLE does not nest.
                if !sampled {
                    self.leaf(at, sample.relation(), true);
                }
                return;
            }
            _ => Relation {
                source: Source::TableFunction,
                name: "",
                lateral: true,
                sampled,
                target: false,
                location: -1,
            },
        };
        self.blocks[at].relations.push(relation);
    }

    /// The common table expression of this name that `at` sees.
    fn cte(&self, at: usize, name: &str) -> Option<usize> {
        let mut block = Some(at);
        while let Some(index) = block {
            let here = &self.blocks[index];
            if let Some((_, found, _)) = here.ctes.iter().find(|(known, _, _)| *known == name) {
                return Some(*found);
            }
            block = here.parent;
        }
        None
    }

    /// Notes an expression and promises blocks for its subqueries.
    fn expr(&mut self, at: usize, clause: Clause, node: Node<'t>) {
        if matches!(node, Node::None) {
            return;
        }
        self.blocks[at].exprs.push((clause, node));
        let mut queries = Vec::new();
        walk(node, |inner| {
            if let Node::SubLink(link) = inner {
                queries.push(link.subselect());
            }
            true
        });
        for query in queries {
            self.expect(query, Some(at), Role::Expression, None);
        }
    }
}

/// Calls `f` for `node` and everything below it, parents first and in the order of the text, but
/// not for subqueries: of a `SubLink` only the node and its left side are seen. `f` returns whether
/// to go below the node it was given.
pub fn walk<'t>(node: Node<'t>, mut f: impl FnMut(Node<'t>) -> bool) {
    let mut waiting = vec![node];
    while let Some(node) = waiting.pop() {
        match node {
            Node::None => continue,
            Node::NodeList(list) => {
                let from = waiting.len();
                waiting.extend(list.iter());
                waiting[from..].reverse();
                continue;
            }
            Node::SelectStmt(_)
            | Node::InsertStmt(_)
            | Node::UpdateStmt(_)
            | Node::DeleteStmt(_)
            | Node::MergeStmt(_) => continue,
            _ => {}
        }
        if !f(node) {
            continue;
        }
        match node {
            // The library's walker must not be given these: they have nothing below them.
            Node::ColumnRef(_)
            | Node::ParamRef(_)
            | Node::A_Const(_)
            | Node::A_Star(_)
            | Node::String(_)
            | Node::RangeVar(_) => continue,
            Node::SubLink(link) => {
                waiting.push(link.testexpr());
                continue;
            }
            _ => {}
        }
        let from = waiting.len();
        walk_manual::<()>(node, |child| {
            waiting.push(child);
            Recurse::no()
        });
        waiting[from..].reverse();
    }
}

/// Splits a condition at AND.
pub fn conjuncts<'t>(node: Node<'t>, found: &mut Vec<Node<'t>>) {
    use pg_raw_parse::raw::BoolExprType;
    let mut waiting = vec![node];
    while let Some(node) = waiting.pop() {
        match node {
            Node::None => {}
            Node::BoolExpr(expr) if expr.boolop == BoolExprType::AND_EXPR => {
                let from = waiting.len();
                waiting.extend(expr.args().iter());
                waiting[from..].reverse();
            }
            _ => found.push(node),
        }
    }
}

/// A column reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column<'t> {
    /// What it is qualified with (the last part before the name).
    pub table: Option<&'t str>,
    /// Its name.
    pub name: &'t str,
    /// Byte in the text, or -1.
    pub location: i32,
}

/// The column that `node` is; not for `*`.
pub fn column(node: Node<'_>) -> Option<Column<'_>> {
    let Node::ColumnRef(column) = node else {
        return None;
    };
    let fields = column.fields();
    let last = fields.len().checked_sub(1)?;
    Some(Column {
        name: fields.get(last)?.as_str()?,
        table: match last {
            0 => None,
            _ => fields.get(last - 1)?.as_str(),
        },
        location: column.location,
    })
}

/// Whether `node` is `*` (`Some(None)`) or `table.*` (`Some(Some(table))`).
pub fn star(node: Node<'_>) -> Option<Option<&str>> {
    let Node::ColumnRef(column) = node else {
        return None;
    };
    let fields = column.fields();
    let last = fields.len().checked_sub(1)?;
    if !matches!(fields.get(last)?, Node::A_Star(_)) {
        return None;
    }
    Some(match last {
        0 => None,
        _ => fields.get(last - 1)?.as_str(),
    })
}

/// `node` without the casts around it.
pub fn without_casts(mut node: Node<'_>) -> Node<'_> {
    while let Node::TypeCast(cast) = node {
        node = cast.arg();
    }
    node
}

/// The function's name in lower case as the parser folded it, without its schema, if the schema is
/// none or `pg_catalog`.
pub fn function(call: &nodes::FuncCall) -> Option<&str> {
    let name = call.funcname();
    let parts = name.len();
    let last = parts.checked_sub(1)?;
    if parts > 1 {
        let schema = name.iter().next()?.as_str()?;
        if schema != "pg_catalog" {
            return None;
        }
    }
    name.iter().nth(last)?.as_str()
}

/// The operator of an `A_Expr`, without its schema.
pub fn operator(expr: &nodes::A_Expr) -> &str {
    (expr.name().iter().next_back())
        .and_then(|part| part.as_str())
        .unwrap_or_default()
}

/// Whether an `A_Expr` is a plain binary or prefix operator: not IN, LIKE, BETWEEN and their kin.
pub fn is_plain_operator(expr: &nodes::A_Expr) -> bool {
    expr.kind == A_Expr_Kind::AEXPR_OP
}

/// Whether anything below `node` (subqueries apart) meets `f`.
pub fn any<'t>(node: Node<'t>, mut f: impl FnMut(Node<'t>) -> bool) -> bool {
    let mut found = false;
    walk(node, |inner| {
        found = found || f(inner);
        !found
    });
    found
}

/// Whether `node` mentions a column of this block or one around it.
pub fn mentions_column(node: Node<'_>) -> bool {
    any(node, |inner| matches!(inner, Node::ColumnRef(_)))
}

/// Whether `node` is a scalar, EXISTS or other subquery.
pub fn subquery_type(node: Node<'_>) -> Option<SubLinkType::Type> {
    match node {
        Node::SubLink(link) => Some(link.sub_link_type),
        _ => None,
    }
}

/// The first byte of `node` in the text, or -1. Of an operator it is the operator's own place: use
/// [`extent`] for where the expression begins.
pub fn location(node: Node<'_>) -> i32 {
    match node {
        Node::ColumnRef(n) => n.location,
        Node::ParamRef(n) => n.location,
        Node::A_Const(n) => n.location,
        Node::A_Expr(n) => n.location,
        Node::BoolExpr(n) => n.location,
        Node::NullTest(n) => n.location,
        Node::FuncCall(n) => n.location,
        Node::TypeCast(n) => n.location,
        Node::SubLink(n) => n.location,
        Node::CoalesceExpr(n) => n.location,
        Node::CaseExpr(n) => n.location,
        Node::A_ArrayExpr(n) => n.location,
        Node::RowExpr(n) => n.location,
        Node::ResTarget(n) => n.location,
        Node::RangeVar(n) => n.location,
        Node::SortBy(n) => n.location,
        Node::ColumnDef(n) => n.location,
        Node::Constraint(n) => n.location,
        Node::TypeName(n) => n.location,
        Node::SQLValueFunction(n) => n.location,
        _ => -1,
    }
}

/// Where the expression `node` begins and the last token in it begins, in the text.
pub fn extent(node: Node<'_>) -> Option<(u32, u32)> {
    let mut bounds: Option<(u32, u32)> = None;
    walk(node, |inner| {
        if let Ok(at) = u32::try_from(location(inner)) {
            let (low, high) = bounds.unwrap_or((at, at));
            bounds = Some((low.min(at), high.max(at)));
        }
        true
    });
    bounds
}

/// A constant in the text, through casts. Rules ask [`Cx`](super::inspect::Cx) instead, so that it
/// is known that they looked at a literal.
pub(super) fn constant(node: Node<'_>) -> Option<Option<ConstValue<'_>>> {
    match without_casts(node) {
        Node::A_Const(literal) => Some(literal.val()),
        _ => None,
    }
}
