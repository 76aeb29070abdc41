//! Statements and what must be known of them.

use super::plain;
use crate::sql::{Flags, Kind, ParamOp};

const RO: Flags = Flags::READ_ONLY;
const NONE: Flags = Flags::NONE;
const FN: Flags = Flags::CALLS_FUNCTION;
const SET: Flags = Flags::SETS_PARAM;
const UNK: Flags = Flags::SETS_UNKNOWN;
const REL: Flags = Flags::RELEASES;
const TEMP: Flags = Flags::TEMP;
const MULTI: Flags = Flags::MULTI;
const LOCK: Flags = Flags::ADVISORY_LOCK;
const ROLE: Flags = Flags::ROLE;

/// Text, all flags, kind of the first statement, parameters (a minus in front means reset).
type Row<'a> = (&'a str, &'a [Flags], Kind, &'a [&'a str]);

fn check(rows: &[Row<'_>]) {
    let mut wrong = Vec::new();
    for (text, flags, kind, params) in rows {
        let expected = flags.iter().fold(Flags::NONE, |all, f| all | *f);
        let mut got = plain(text);
        // These have tables of their own.
        got.flags = (got.flags).without(Flags::CALLS_UNKNOWN | Flags::READS_IF);
        let names: Vec<String> = got
            .params
            .iter()
            .map(|p| match p.op {
                ParamOp::Set => p.name.to_string(),
                ParamOp::Reset => format!("-{}", p.name),
            })
            .collect();
        if got.flags != expected || got.kind != *kind || names != *params {
            wrong.push(format!(
                "{text}\n  expected {expected:?} {kind:?} {params:?}\n  got      {:?} {:?} {names:?}",
                got.flags, got.kind
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn queries() {
    check(&[
        ("select 1", &[RO], Kind::Select, &[]),
        (
            "SELECT * FROM orders WHERE id = $1",
            &[RO],
            Kind::Select,
            &[],
        ),
        (
            "select now(), count(*), lower(a) from t group by 3",
            &[RO],
            Kind::Select,
            &[],
        ),
        ("select pg_catalog.upper('a')", &[RO], Kind::Select, &[]),
        ("select public.upper('a')", &[FN], Kind::Select, &[]),
        ("select my_function(1)", &[FN], Kind::Select, &[]),
        ("select nextval('s')", &[FN], Kind::Select, &[]),
        (
            "select * from generate_series(1, 10)",
            &[RO],
            Kind::Select,
            &[],
        ),
        ("select * from my_rows(1)", &[FN], Kind::Select, &[]),
        (
            "select a from t order by my_key(a)",
            &[FN],
            Kind::Select,
            &[],
        ),
        (
            "select case when f(a) then 1 end from t",
            &[FN],
            Kind::Select,
            &[],
        ),
        (
            "select extract(year from now()), trim(' a '), position('a' in 'b')",
            &[RO],
            Kind::Select,
            &[],
        ),
        (
            "select current_date, current_user, current_schema",
            &[RO],
            Kind::Select,
            &[],
        ),
        (
            "select sum(a) over (partition by b order by my_key(c)) from t",
            &[FN],
            Kind::Select,
            &[],
        ),
        (
            "select count(*) filter (where probe(a)) from t",
            &[FN],
            Kind::Select,
            &[],
        ),
        ("values (1), (2)", &[RO], Kind::Select, &[]),
        ("table t", &[RO], Kind::Select, &[]),
        ("(select 1) union (select 2)", &[RO], Kind::Select, &[]),
        ("select 1 union all select f(2)", &[FN], Kind::Select, &[]),
        (
            "with a as (select 1) select * from a",
            &[RO],
            Kind::Select,
            &[],
        ),
        (
            "with a as (insert into t values (1) returning *) select * from a",
            &[NONE],
            Kind::Select,
            &[],
        ),
        (
            "with a as (delete from t returning *) insert into u select * from a",
            &[NONE],
            Kind::Insert,
            &[],
        ),
        (
            "select * from (with d as (update t set a = 1 returning *) select * from d) x",
            &[NONE],
            Kind::Select,
            &[],
        ),
        ("select * from t for update", &[NONE], Kind::Select, &[]),
        (
            "select * from t for key share skip locked",
            &[NONE],
            Kind::Select,
            &[],
        ),
        (
            "select * from (select * from t for share) x",
            &[NONE],
            Kind::Select,
            &[],
        ),
        (
            "select exists (select 1 from t where f(a))",
            &[FN],
            Kind::Select,
            &[],
        ),
        (
            "select * from t tablesample bernoulli (10)",
            &[RO],
            Kind::Select,
            &[],
        ),
        (
            "select * from json_table('{}', '$' columns (a int path '$.a')) j",
            &[RO],
            Kind::Select,
            &[],
        ),
        (
            "select * from rows from (f(1), g(2)) as x",
            &[FN],
            Kind::Select,
            &[],
        ),
        ("insert into t values (1, 'a')", &[NONE], Kind::Insert, &[]),
        (
            "insert into t (a) select f(b) from u",
            &[FN],
            Kind::Insert,
            &[],
        ),
        (
            "insert into t values (1) on conflict (a) do update set b = excluded.b returning *",
            &[NONE],
            Kind::Insert,
            &[],
        ),
        ("update t set a = 1 where b = 2", &[NONE], Kind::Update, &[]),
        (
            "delete from t using u where t.a = u.a",
            &[NONE],
            Kind::Delete,
            &[],
        ),
        (
            "merge into t using u on t.a = u.a when matched then delete",
            &[NONE],
            Kind::Merge,
            &[],
        ),
        ("show all", &[], Kind::Show, &[]),
        ("show transaction isolation level", &[], Kind::Show, &[]),
        ("explain select 1", &[RO], Kind::Explain, &[]),
        (
            "explain (analyze, buffers) update t set a = 1",
            &[NONE],
            Kind::Explain,
            &[],
        ),
        (
            "explain analyze select set_config('work_mem', '1', false)",
            &[SET, FN],
            Kind::Explain,
            &["work_mem"],
        ),
        (
            "explain analyze execute p(1)",
            &[UNK, FN],
            Kind::Explain,
            &[],
        ),
        (
            "explain analyze create temp table x as select 1",
            &[TEMP],
            Kind::Explain,
            &[],
        ),
        ("copy t to stdout", &[Flags::COPY, RO], Kind::Copy, &[]),
        (
            "copy (select f(a) from t) to stdout",
            &[Flags::COPY, FN],
            Kind::Copy,
            &[],
        ),
        (
            "copy (delete from t returning *) to stdout",
            &[Flags::COPY],
            Kind::Copy,
            &[],
        ),
        (
            "copy t from stdin with (format csv)",
            &[Flags::COPY],
            Kind::Copy,
            &[],
        ),
        ("copy t to '/tmp/x'", &[Flags::COPY], Kind::Copy, &[]),
        ("copy t to program 'cat'", &[Flags::COPY], Kind::Copy, &[]),
    ]);
}

#[test]
fn parameters() {
    check(&[
        (
            "set search_path = a, b",
            &[SET],
            Kind::Set,
            &["search_path"],
        ),
        (
            "SET Search_Path TO 'x'",
            &[SET],
            Kind::Set,
            &["search_path"],
        ),
        (
            "set \"TimeZone\" to 'UTC'",
            &[SET],
            Kind::Set,
            &["timezone"],
        ),
        (
            "set session work_mem = '4MB'",
            &[SET],
            Kind::Set,
            &["work_mem"],
        ),
        ("set local work_mem = '4MB'", &[NONE], Kind::Set, &[]),
        (
            "/* a */ set -- b\n work_mem = 1",
            &[SET],
            Kind::Set,
            &["work_mem"],
        ),
        (
            "-- note; select 1\nset work_mem = 1",
            &[SET],
            Kind::Set,
            &["work_mem"],
        ),
        (
            "/* /* nested */ set a = 1 */ select 1",
            &[RO],
            Kind::Select,
            &[],
        ),
        ("set my.custom = 1", &[SET], Kind::Set, &["my.custom"]),
        ("set time zone 'UTC'", &[SET], Kind::Set, &["timezone"]),
        (
            "set time zone default",
            &[SET, REL],
            Kind::Set,
            &["-timezone"],
        ),
        (
            "set time zone interval '-08:00' hour to minute",
            &[SET],
            Kind::Set,
            &["timezone"],
        ),
        ("set local time zone 'UTC'", &[NONE], Kind::Set, &[]),
        (
            "set names 'latin1'",
            &[SET],
            Kind::Set,
            &["client_encoding"],
        ),
        ("set schema 'x'", &[SET], Kind::Set, &["search_path"]),
        ("set xml option document", &[SET], Kind::Set, &["xmloption"]),
        ("set seed to 0.5", &[SET], Kind::Set, &["seed"]),
        (
            "set transaction isolation level serializable",
            &[NONE],
            Kind::Set,
            &[],
        ),
        (
            "set transaction read only, deferrable",
            &[NONE],
            Kind::Set,
            &[],
        ),
        (
            "set transaction snapshot '00000003-0000001B-1'",
            &[NONE],
            Kind::Set,
            &[],
        ),
        (
            "set transaction_isolation = 'serializable'",
            &[NONE],
            Kind::Set,
            &[],
        ),
        (
            "set session characteristics as transaction isolation level serializable, read only",
            &[SET],
            Kind::Set,
            &[
                "default_transaction_isolation",
                "default_transaction_read_only",
            ],
        ),
        ("set constraints all deferred", &[NONE], Kind::Set, &[]),
        (
            "set statement_timeout to default",
            &[SET, REL],
            Kind::Set,
            &["-statement_timeout"],
        ),
        (
            "set local statement_timeout to default",
            &[NONE],
            Kind::Set,
            &[],
        ),
        (
            "reset statement_timeout",
            &[SET, REL],
            Kind::Reset,
            &["-statement_timeout"],
        ),
        ("reset all", &[Flags::RESET_ALL, REL], Kind::Reset, &[]),
        ("reset time zone", &[SET, REL], Kind::Reset, &["-timezone"]),
        ("reset role", &[SET, REL], Kind::Reset, &["-role"]),
        (
            "reset session authorization",
            &[SET, REL],
            Kind::Reset,
            &["-session_authorization"],
        ),
        ("set role alice", &[SET, ROLE], Kind::Set, &["role"]),
        ("set role 'alice'", &[SET, ROLE], Kind::Set, &["role"]),
        ("set role to alice", &[SET, ROLE], Kind::Set, &["role"]),
        ("set local role alice", &[NONE], Kind::Set, &[]),
        ("set role none", &[SET, REL], Kind::Set, &["role"]),
        (
            "set session authorization bob",
            &[SET, ROLE],
            Kind::Set,
            &["session_authorization"],
        ),
        (
            "set session authorization default",
            &[SET, REL],
            Kind::Set,
            &["-session_authorization"],
        ),
        (
            "set local session authorization bob",
            &[NONE],
            Kind::Set,
            &[],
        ),
        (
            "set search_path = pg_temp, public",
            &[SET, TEMP],
            Kind::Set,
            &["search_path"],
        ),
        (
            "select set_config('work_mem', '1', false)",
            &[SET, FN],
            Kind::Select,
            &["work_mem"],
        ),
        (
            "select pg_catalog.set_config('Work_Mem', $1, false)",
            &[SET, FN],
            Kind::Select,
            &["work_mem"],
        ),
        (
            "select SET_CONFIG('work_mem', '1', true)",
            &[FN],
            Kind::Select,
            &[],
        ),
        (
            "select set_config('work_mem', '1', 't'::bool)",
            &[FN],
            Kind::Select,
            &[],
        ),
        (
            "select set_config('work_mem', '1', $1)",
            &[SET, FN],
            Kind::Select,
            &["work_mem"],
        ),
        (
            "select set_config('work_mem', '1', 'f')",
            &[SET, FN],
            Kind::Select,
            &["work_mem"],
        ),
        (
            "select set_config($1, $2, $3)",
            &[UNK, FN],
            Kind::Select,
            &[],
        ),
        (
            "select set_config($1, $2, true)",
            &[UNK, FN],
            Kind::Select,
            &[],
        ),
        (
            "select set_config('a' || 'b', '1', false)",
            &[UNK, FN],
            Kind::Select,
            &[],
        ),
        (
            "select set_config(setting_name => 'work_mem', new_value => '1', is_local => true)",
            &[UNK, FN],
            Kind::Select,
            &[],
        ),
        (
            "select \"set_config\"('work_mem'::text, '1', false)",
            &[SET, FN],
            Kind::Select,
            &["work_mem"],
        ),
        (
            "select u&\"set\\005fconfig\"('work_mem', '1', false)",
            &[SET, FN],
            Kind::Select,
            &["work_mem"],
        ),
        (
            "select mine.set_config('work_mem', '1', false)",
            &[FN],
            Kind::Select,
            &[],
        ),
        (
            "select set_config('role', 'alice', false)",
            &[SET, ROLE, FN],
            Kind::Select,
            &["role"],
        ),
        (
            "select set_config('role', 'none', false)",
            &[SET, REL, FN],
            Kind::Select,
            &["role"],
        ),
        (
            "select set_config('session_authorization', $1, false)",
            &[SET, ROLE, FN],
            Kind::Select,
            &["session_authorization"],
        ),
        (
            "select set_config('search_path', 'pg_temp', false)",
            &[SET, TEMP, FN],
            Kind::Select,
            &["search_path"],
        ),
        (
            "select set_config('search_path', $1, false)",
            &[SET, UNK, FN],
            Kind::Select,
            &["search_path"],
        ),
        (
            "select 'set_config(1)', 'set a = 1'",
            &[RO],
            Kind::Select,
            &[],
        ),
        ("select set_config from t", &[RO], Kind::Select, &[]),
        (
            "select * from set_config('work_mem', '1', false) as x",
            &[SET, FN],
            Kind::Select,
            &["work_mem"],
        ),
        (
            "update t set a = set_config('work_mem', '1', false)",
            &[SET, FN],
            Kind::Update,
            &["work_mem"],
        ),
        (
            "update pg_settings set setting = '1' where name = 'work_mem'",
            &[UNK],
            Kind::Update,
            &[],
        ),
        (
            "with x as (select set_config('a.b', '1', false)) select * from x",
            &[SET, FN],
            Kind::Select,
            &["a.b"],
        ),
        (
            "set a.b = 1; set a.c = 2; reset a.b",
            &[SET, REL, MULTI],
            Kind::Set,
            &["a.b", "a.c", "-a.b"],
        ),
        (
            "alter role alice set work_mem = 1",
            &[NONE],
            Kind::Alter,
            &[],
        ),
        ("alter system set work_mem = 1", &[NONE], Kind::Alter, &[]),
        ("alter database d reset all", &[NONE], Kind::Alter, &[]),
        ("do $$ begin perform 1; end $$", &[UNK, FN], Kind::Do, &[]),
        (
            "do $x$ begin execute 'create temp table a (b int)'; end $x$",
            &[UNK, FN, TEMP],
            Kind::Do,
            &[],
        ),
        (
            "do $$ begin perform pg_advisory_lock(1); end $$",
            &[UNK, FN, LOCK],
            Kind::Do,
            &[],
        ),
        ("call p(1)", &[UNK, FN], Kind::Call, &[]),
        ("execute p(1)", &[UNK, FN], Kind::Execute, &[]),
        ("load 'auto_explain'", &[Flags::LOAD, UNK], Kind::Load, &[]),
    ]);
}

#[test]
fn session_states() {
    let listen = Flags::LISTEN;
    let prepare = Flags::SQL_PREPARE;
    let hold = Flags::HOLD_CURSOR;
    check(&[
        ("create temp table x (a int)", &[TEMP], Kind::Create, &[]),
        (
            "create temporary table if not exists x (a int)",
            &[TEMP],
            Kind::Create,
            &[],
        ),
        (
            "create local temp table x (a int)",
            &[TEMP],
            Kind::Create,
            &[],
        ),
        (
            "create temp table x (a int) on commit drop",
            &[NONE],
            Kind::Create,
            &[],
        ),
        (
            "create temp table x (a int) on commit delete rows",
            &[TEMP],
            Kind::Create,
            &[],
        ),
        (
            "create temp table x on commit drop as select 1",
            &[NONE],
            Kind::Create,
            &[],
        ),
        (
            "create temp table x as select f(1)",
            &[TEMP, FN],
            Kind::Create,
            &[],
        ),
        (
            "create temp table x as execute p",
            &[TEMP, UNK, FN],
            Kind::Create,
            &[],
        ),
        ("create table pg_temp.x (a int)", &[TEMP], Kind::Create, &[]),
        (
            "create table pg_temp_3.x (a int)",
            &[TEMP],
            Kind::Create,
            &[],
        ),
        (
            "create table \"pg_temp\".x as select 1",
            &[TEMP],
            Kind::Create,
            &[],
        ),
        ("create temp view v as select 1", &[TEMP], Kind::Create, &[]),
        (
            "create or replace temp view v as select 1",
            &[TEMP],
            Kind::Create,
            &[],
        ),
        ("create temp sequence s", &[TEMP], Kind::Create, &[]),
        (
            "create function pg_temp.f() returns int language sql as 'select 1'",
            &[TEMP],
            Kind::Create,
            &[],
        ),
        (
            "create type pg_temp.t as (a int)",
            &[TEMP],
            Kind::Create,
            &[],
        ),
        ("create table x (a int)", &[NONE], Kind::Create, &[]),
        (
            "create unlogged table x (a int)",
            &[NONE],
            Kind::Create,
            &[],
        ),
        ("create table temp (a int)", &[NONE], Kind::Create, &[]),
        (
            "create table x (note text default 'create temp table')",
            &[NONE],
            Kind::Create,
            &[],
        ),
        (
            "create materialized view v as select 1",
            &[NONE],
            Kind::Create,
            &[],
        ),
        ("select 1 into temp x", &[TEMP], Kind::Select, &[]),
        (
            "select * into temporary table x from t",
            &[TEMP],
            Kind::Select,
            &[],
        ),
        ("select 1 into x", &[NONE], Kind::Select, &[]),
        ("select 1 into pg_temp.x", &[TEMP], Kind::Select, &[]),
        (
            "select 1 into temp x union select 2",
            &[TEMP],
            Kind::Select,
            &[],
        ),
        ("select * from pg_temp.x", &[RO], Kind::Select, &[]),
        (
            "insert into pg_temp.x values (1)",
            &[NONE],
            Kind::Insert,
            &[],
        ),
        ("drop table x", &[REL], Kind::Drop, &[]),
        ("drop owned by alice", &[REL], Kind::Drop, &[]),
        ("listen c", &[listen], Kind::Listen, &[]),
        ("unlisten *", &[REL], Kind::Unlisten, &[]),
        ("notify c, 'x'", &[NONE], Kind::Notify, &[]),
        ("declare c cursor for select 1", &[NONE], Kind::Declare, &[]),
        (
            "declare c cursor with hold for select 1",
            &[hold],
            Kind::Declare,
            &[],
        ),
        (
            "declare c cursor without hold for select 1",
            &[NONE],
            Kind::Declare,
            &[],
        ),
        (
            "declare hold cursor for select 1",
            &[NONE],
            Kind::Declare,
            &[],
        ),
        (
            "declare c binary insensitive scroll cursor with hold for select f(1)",
            &[hold, FN],
            Kind::Declare,
            &[],
        ),
        ("fetch 10 from c", &[NONE], Kind::Fetch, &[]),
        ("move all in c", &[NONE], Kind::Fetch, &[]),
        ("close c", &[REL], Kind::Close, &[]),
        ("close all", &[REL], Kind::Close, &[]),
        ("prepare p as select 1", &[prepare], Kind::Prepare, &[]),
        (
            "prepare p (int) as select pg_advisory_lock($1)",
            &[prepare, LOCK, FN],
            Kind::Prepare,
            &[],
        ),
        ("deallocate p", &[REL], Kind::Deallocate, &[]),
        (
            "deallocate all",
            &[REL, Flags::DEALLOCATE_ALL],
            Kind::Deallocate,
            &[],
        ),
        (
            "deallocate prepare all",
            &[REL, Flags::DEALLOCATE_ALL],
            Kind::Deallocate,
            &[],
        ),
        (
            "discard all",
            &[REL, Flags::DISCARD_ALL, Flags::DEALLOCATE_ALL],
            Kind::Discard,
            &[],
        ),
        (
            "discard temp",
            &[REL, Flags::DISCARD_TEMP],
            Kind::Discard,
            &[],
        ),
        (
            "discard temporary",
            &[REL, Flags::DISCARD_TEMP],
            Kind::Discard,
            &[],
        ),
        ("discard plans", &[REL], Kind::Discard, &[]),
        ("discard sequences", &[REL], Kind::Discard, &[]),
        ("select pg_advisory_lock(1)", &[LOCK, FN], Kind::Select, &[]),
        (
            "select pg_catalog.pg_advisory_lock_shared(1, 2)",
            &[LOCK, FN],
            Kind::Select,
            &[],
        ),
        (
            "select 1 where pg_try_advisory_lock(1)",
            &[LOCK, FN],
            Kind::Select,
            &[],
        ),
        (
            "select * from t, pg_try_advisory_lock_shared(t.a)",
            &[LOCK, FN],
            Kind::Select,
            &[],
        ),
        ("select pg_advisory_xact_lock(1)", &[FN], Kind::Select, &[]),
        (
            "select pg_try_advisory_xact_lock_shared(1)",
            &[FN],
            Kind::Select,
            &[],
        ),
        (
            "select pg_advisory_unlock(1)",
            &[REL, FN],
            Kind::Select,
            &[],
        ),
        (
            "select pg_advisory_unlock_all()",
            &[REL, FN],
            Kind::Select,
            &[],
        ),
        (
            "create index i on t (a) where set_config('a.b', a, false) = ''",
            &[UNK, FN],
            Kind::Create,
            &[],
        ),
    ]);
}

#[test]
fn transactions_and_strings_of_statements() {
    let (begin, commit, rollback, save) = (
        Flags::BEGIN,
        Flags::COMMIT,
        Flags::ROLLBACK,
        Flags::SAVEPOINT,
    );
    check(&[
        ("begin", &[begin], Kind::Begin, &[]),
        (
            "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY",
            &[begin, Flags::BEGINS_WRITING],
            Kind::Begin,
            &[],
        ),
        (
            "start transaction read only, isolation level repeatable read",
            &[begin, Flags::BEGINS_READING],
            Kind::Begin,
            &[],
        ),
        (
            "begin read write",
            &[begin, Flags::BEGINS_WRITING],
            Kind::Begin,
            &[],
        ),
        ("start transaction", &[begin], Kind::Begin, &[]),
        ("commit", &[commit], Kind::Commit, &[]),
        ("end work", &[commit], Kind::Commit, &[]),
        ("commit and chain", &[commit, begin], Kind::Commit, &[]),
        ("commit and no chain", &[commit], Kind::Commit, &[]),
        ("rollback", &[rollback, REL], Kind::Rollback, &[]),
        ("abort", &[rollback, REL], Kind::Rollback, &[]),
        (
            "rollback and chain",
            &[rollback, REL, begin],
            Kind::Rollback,
            &[],
        ),
        (
            "rollback to savepoint a",
            &[save, REL],
            Kind::Savepoint,
            &[],
        ),
        ("rollback work to a", &[save, REL], Kind::Savepoint, &[]),
        ("savepoint a", &[save], Kind::Savepoint, &[]),
        ("release a", &[save], Kind::Savepoint, &[]),
        ("prepare transaction 'a'", &[commit], Kind::TwoPhase, &[]),
        ("commit prepared 'a'", &[NONE], Kind::TwoPhase, &[]),
        ("rollback prepared 'a'", &[NONE], Kind::TwoPhase, &[]),
        (
            "begin; select 1; commit",
            &[begin, commit, MULTI],
            Kind::Begin,
            &[],
        ),
        ("select 1; select 2", &[RO, MULTI], Kind::Select, &[]),
        ("select 1;", &[RO], Kind::Select, &[]),
        (";;select 1;;", &[RO], Kind::Select, &[]),
        ("select 1; update t set a = 1", &[MULTI], Kind::Select, &[]),
        (
            "select ';', $$;set a.b = 1;$$, $t$ $$;$$ $t$",
            &[RO],
            Kind::Select,
            &[],
        ),
        ("select E'\\';set a.b=1;--'", &[RO], Kind::Select, &[]),
        (
            "select 'a\\'; set a.b = 1; --'",
            &[SET, MULTI],
            Kind::Select,
            &["a.b"],
        ),
        ("select e'a' \n '\\';set a.b = 1'", &[RO], Kind::Select, &[]),
        ("select \"a;b\"\"c;\" from t", &[RO], Kind::Select, &[]),
        ("select 1 /* ; */ -- ;", &[RO], Kind::Select, &[]),
        (
            "select a$b$c, 1; set a.b = 1",
            &[SET, MULTI],
            Kind::Select,
            &["a.b"],
        ),
        (
            "select 1; set role alice",
            &[SET, ROLE, MULTI],
            Kind::Select,
            &["role"],
        ),
        ("", &[Flags::EMPTY], Kind::Empty, &[]),
        (" ; -- x\n ;", &[Flags::EMPTY], Kind::Empty, &[]),
        ("/* only */", &[Flags::EMPTY], Kind::Empty, &[]),
        ("lock table t", &[NONE], Kind::Lock, &[]),
        ("truncate t", &[NONE], Kind::Truncate, &[]),
        ("vacuum analyze t", &[NONE], Kind::Vacuum, &[]),
        ("grant select on t to alice", &[NONE], Kind::Grant, &[]),
        ("checkpoint", &[NONE], Kind::Other, &[]),
        ("refresh materialized view v", &[NONE], Kind::Other, &[]),
        (
            "create rule r as on insert to t do also (select 1; select 2)",
            &[NONE],
            Kind::Create,
            &[],
        ),
        (
            "create function f() returns int begin atomic select 1; select case when true then 2 end; end; select 3",
            &[MULTI],
            Kind::Create,
            &[],
        ),
        (
            "create procedure p() begin atomic insert into t values (1); end",
            &[NONE],
            Kind::Create,
            &[],
        ),
    ]);
}

#[test]
fn what_does_not_parse_is_unanalysed_with_the_facts_of_its_keywords() {
    let odd = Flags::UNANALYSED;
    check(&[
        ("select from where", &[odd, FN], Kind::Select, &[]),
        ("flub", &[odd], Kind::Unknown, &[]),
        ("set work_mem = ", &[odd, UNK, REL], Kind::Set, &[]),
        (
            "set role to alice bob",
            &[odd, UNK, REL, ROLE],
            Kind::Set,
            &[],
        ),
        ("begin nonsense", &[odd, Flags::BEGIN], Kind::Begin, &[]),
        (
            "rollback to",
            &[odd, Flags::SAVEPOINT, REL],
            Kind::Savepoint,
            &[],
        ),
        ("create temp thing x", &[odd, TEMP], Kind::Create, &[]),
        ("select 'open", &[odd, FN], Kind::Unknown, &[]),
        (
            "select pg_advisory_lock(1) frm t t t",
            &[odd, FN, LOCK],
            Kind::Select,
            &[],
        ),
        ("listen", &[odd, Flags::LISTEN], Kind::Listen, &[]),
        ("select 1 \0", &[odd, FN], Kind::Unknown, &[]),
    ]);
}

#[test]
fn functions_of_which_nothing_is_known() {
    for (text, unknown) in [
        ("select f(1)", true),
        ("select public.upper('a')", true),
        ("insert into t values (f(1))", true),
        ("select * from f(1)", true),
        ("update t set a = 1 where b = any(select f(c) from u)", true),
        ("create temp table x as select f(1)", true),
        ("select 'open", true),
        ("select upper('a'), count(*) from t", false),
        ("insert into t values (nextval('s'), now())", false),
        ("select pg_notify('a', 'b'), pg_sleep(1)", false),
        ("select pg_advisory_lock(1)", false),
        ("select pg_advisory_xact_lock(1)", false),
        ("select set_config('work_mem', '1MB', false)", false),
        ("insert into t (a, b) values (1, 2)", false),
        ("begin", false),
    ] {
        assert_eq!(
            plain(text).flags.contains(Flags::CALLS_UNKNOWN),
            unknown,
            "{text}"
        );
    }
}

#[test]
fn functions_that_decide_whether_a_text_reads() {
    for (text, functions) in [
        ("select f(1)", &["f"][..]),
        ("select f(1), F(2), \"F\"(3), s.f(4)", &["F", "f", "s.f"]),
        (
            "select * from f(1) where g(a) order by h(b)",
            &["f", "g", "h"],
        ),
        ("select lower(f(a)) from t", &["f"]),
        ("with x as (select f(1)) select * from x", &["f"]),
        ("explain select f(1)", &["f"]),
        ("select f(1); select g(1)", &["f", "g"]),
        // Something else speaks against it, or nothing does.
        ("select lower(a) from t", &[]),
        ("select f(1), nextval('s')", &[]),
        ("select f(1), pg_advisory_lock(1)", &[]),
        ("select f(1), set_config('a.b', 'c', false)", &[]),
        ("select f(1), pg_catalog.pg_notify('a', 'b')", &[]),
        ("select f(1) from t for update", &[]),
        ("select f(1) into u", &[]),
        ("insert into t select f(1)", &[]),
        (
            "with x as (delete from t returning f(a)) select * from x",
            &[],
        ),
        ("select f(1); delete from t", &[]),
        ("call f(1)", &[]),
        ("explain analyze insert into t select f(1)", &[]),
        ("select a.b.c.f(1)", &[]),
        ("select \"f\u{e4}\"(1)", &[]),
        ("select f1(),f2(),f3(),f4(),f5(),f6(),f7(),f8(),f9()", &[]),
    ] {
        let got = plain(text);
        let mut names: Vec<&str> = got.functions.iter().map(|name| &**name).collect();
        names.sort_unstable();
        assert_eq!(names, functions, "{text}");
        let reads_if = got.flags.contains(Flags::READS_IF);
        assert_eq!(reads_if, !functions.is_empty(), "{text}");
        assert!(!(reads_if && got.flags.contains(RO)), "{text}");
    }
}
