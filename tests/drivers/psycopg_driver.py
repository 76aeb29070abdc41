"""psycopg: everything that an application may do, with many clients over few servers."""

import asyncio
import os
import threading
import time

import psycopg
from psycopg import errors, sql

MODE = os.environ.get("DRIVER_MODE", "direct")
PARAMETERS = dict(
    host=os.environ.get("DRIVER_HOST", "127.0.0.1"),
    port=int(os.environ["DRIVER_PORT"]),
    dbname=os.environ["DRIVER_DATABASE"],
    user=os.environ["DRIVER_USER"],
    password=os.environ["DRIVER_PASSWORD"],
    connect_timeout=20,
)
CLIENTS = 24
passed = 0
counting = threading.Lock()


def check(condition, what):
    global passed
    if not condition:
        raise SystemExit(f"psycopg, {MODE}: failed: {what}")
    with counting:
        passed += 1


def same(got, expected, what):
    check(got == expected, f"{what}: got {got!r}, expected {expected!r}")


def connect(**more):
    return psycopg.connect(**{**PARAMETERS, **more})


def value(connection, query, *args, **options):
    return connection.execute(query, *args, **options).fetchone()[0]


def simple_and_extended():
    with connect(autocommit=True) as c:
        same(value(c, "SELECT 1"), 1, "simple query")
        same(value(c, "SELECT %s::int + 1", (41,)), 42, "extended query")
        cursor = c.execute("SELECT 1; SELECT 2; SELECT 3")
        got = [cursor.fetchone()[0]]
        while cursor.nextset():
            got.append(cursor.fetchone()[0])
        same(got, [1, 2, 3], "several statements")
        with c.cursor(binary=True) as cursor:
            cursor.execute("SELECT %s::int8, %s::text, %s::bytea", (2**40, "zwölf", b"\0\xff"))
            same(cursor.fetchone(), (2**40, "zwölf", b"\0\xff"), "binary values")
        same(c.execute("").statusmessage, None, "empty query")


def prepared_statements():
    connections = [connect(autocommit=True, prepare_threshold=1) for _ in range(CLIENTS)]
    for round_ in range(6):
        for n, c in enumerate(connections):
            c.prepare_threshold = 1
            got = value(c, "SELECT %s::int * 2 + %s::int", (n, round_))
            same(got, n * 2 + round_, "statement of one text on many clients")
            got = value(c, f"SELECT %s::text || ' of {n}'", (str(round_),))
            same(got, f"{round_} of {n}", "statement of a client's own")
    for c in connections:
        c.close()


def many_names_on_one_connection():
    with connect(autocommit=True, prepare_threshold=0) as c:
        c.prepared_max = 20
        for n in range(150):
            same(value(c, f"SELECT {n} + %s::int", (1,)), n + 1, "more statements than are kept")


def transactions():
    with connect() as c:
        with c.transaction():
            c.execute("INSERT INTO tx VALUES (1)")
            try:
                with c.transaction():
                    c.execute("INSERT INTO tx VALUES (2)")
                    raise psycopg.Rollback()
            except psycopg.Rollback:
                pass
        with c.transaction():
            same(value(c, "SELECT count(*) FROM tx"), 1, "savepoint rolled back")
        try:
            c.execute("INSERT INTO tx VALUES (1)")
            check(False, "a duplicate was taken")
        except errors.UniqueViolation as e:
            same(e.sqlstate, "23505", "SQLSTATE of a duplicate")
        try:
            c.execute("SELECT 1")
            check(False, "an aborted transaction goes on")
        except errors.InFailedSqlTransaction:
            pass
        c.rollback()
        same(value(c, "SELECT 5"), 5, "after rollback")


def error_reports():
    with connect(autocommit=True) as c:
        for query, state in [
            ("SELECT 1/0", "22012"),
            ("SELEC", "42601"),
            ("SELECT * FROM nowhere", "42P01"),
            ("SELECT nothing()", "42883"),
        ]:
            for binding in ((), None):
                try:
                    c.execute(query, binding)
                    check(False, query)
                except psycopg.Error as e:
                    same(e.sqlstate, state, query)
        same(value(c, "SELECT 1"), 1, "after errors")


def copy():
    with connect(autocommit=True) as c:
        with c.cursor() as cursor:
            with cursor.copy("COPY copied FROM STDIN") as copying:
                for n in range(5000):
                    copying.write_row((n, f"row {n} " + "x" * 100))
            same(value(c, "SELECT count(*) FROM copied"), 5000, "COPY in")
            size = 0
            with cursor.copy("COPY copied TO STDOUT") as copying:
                for block in copying:
                    size += bytes(block).count(b"\n")
            same(size, 5000, "COPY out")
            try:
                with cursor.copy("COPY copied FROM STDIN") as copying:
                    copying.write_row((1, "never"))
                    raise ValueError("on purpose")
            except ValueError:
                pass
            try:
                with cursor.copy("COPY copied FROM STDIN") as copying:
                    copying.write("not a number\tx\n")
                check(False, "nonsense was copied")
            except errors.InvalidTextRepresentation:
                pass
        same(value(c, "SELECT count(*) FROM copied"), 5000, "failed COPY leaves nothing")


def pipelines():
    with connect(autocommit=True) as c:
        with c.pipeline():
            cursors = [c.execute("SELECT %s::int", (n,)) for n in range(300)]
        same([cursor.fetchone()[0] for cursor in cursors], list(range(300)), "pipeline")
        # The error is raised where psycopg learns of it: at the end or at a later statement.
        after = None
        try:
            with c.pipeline() as p:
                first = c.execute("SELECT %s::int", (1,))
                p.sync()
                c.execute("SELECT 1/%s::int", (0,))
                after = c.execute("SELECT %s::int", (2,))
                p.sync()
            check(False, "an error in a pipeline was lost")
        except errors.DivisionByZero:
            pass
        same(first.fetchone()[0], 1, "before the error in a pipeline")
        check(after is None or after.pgresult is None or after.rowcount <= 0, "after the error in a pipeline")
        same(value(c, "SELECT 3"), 3, "after a pipeline")


def notifications():
    # In transaction mode the client that listens must keep its server.
    with connect(autocommit=True) as listener, connect(autocommit=True) as teller:
        listener.execute("LISTEN psycopg_news")
        for n in range(3):
            teller.execute("SELECT pg_notify('psycopg_news', %s)", (f"number {n}",))
        heard = []
        for note in listener.notifies(timeout=20, stop_after=3):
            heard.append(note.payload)
        same(heard, ["number 0", "number 1", "number 2"], "notifications")
        listener.execute("UNLISTEN *")


def notices():
    heard = []
    with connect(autocommit=True) as c:
        c.add_notice_handler(lambda diagnostic: heard.append(diagnostic.message_primary))
        c.execute("DO $$ BEGIN RAISE NOTICE 'take note'; END $$")
    same(heard, ["take note"], "notice")


def cancel():
    with connect(autocommit=True) as c:
        started = time.monotonic()
        timer = threading.Timer(0.7, c.cancel_safe)
        timer.start()
        try:
            c.execute("SELECT pg_sleep(60)")
            check(False, "it was not cancelled")
        except errors.QueryCanceled as e:
            same(e.sqlstate, "57014", "SQLSTATE of a cancelled query")
        timer.join()
        check(time.monotonic() - started < 30, "cancelled in time")
        same(value(c, "SELECT 1"), 1, "after a cancel")


def large_values():
    with connect(autocommit=True) as c:
        big = "0123456789" * 1_000_000
        same(value(c, "SELECT length(%s::text)", (big,)), len(big), "large parameter")
        check(value(c, "SELECT %s::text", (big,)) == big, "large value there and back")
        same(len(c.execute("SELECT generate_series(1, 200000)").fetchall()), 200000, "many rows")


def settings():
    connections = [connect(autocommit=True) for _ in range(CLIENTS)]
    for n, c in enumerate(connections):
        c.execute(sql.SQL("SET application_name = {}").format(f"client {n}"))
        c.execute(sql.SQL("SET TimeZone = {}").format("UTC" if n % 2 else "Asia/Kolkata"))
    for _ in range(3):
        for n, c in enumerate(connections):
            same(value(c, "SHOW application_name"), f"client {n}", "application_name of a client")
            zone = "UTC" if n % 2 else "Asia/Kolkata"
            same(value(c, "SHOW TimeZone"), zone, "TimeZone of a client")
    for c in connections:
        c.execute("RESET ALL")
        same(value(c, "SHOW application_name"), "", "after RESET ALL")
        c.close()
    with connect(autocommit=True, application_name="from the start") as c:
        c.execute("SET application_name = 'later'")
        c.execute("RESET application_name")
        same(value(c, "SHOW application_name"), "from the start", "RESET to the startup value")
    with connect(autocommit=True, options="-c statement_timeout=12345") as c:
        same(value(c, "SHOW statement_timeout"), "12345ms", "options of the startup packet")


def server_side_cursor():
    with connect() as c:
        with c.cursor(name="walk") as cursor:
            cursor.itersize = 100
            cursor.execute("SELECT generate_series(1, 1000)")
            same(sum(row[0] for row in cursor), 500500, "server-side cursor")


def concurrent_clients():
    def work(n):
        with connect(autocommit=True, prepare_threshold=2) as c:
            for i in range(40):
                same(value(c, "SELECT %s::int * 1000 + %s::int", (n, i)), n * 1000 + i, "own answer")
                if i % 10 == 0:
                    with c.transaction():
                        c.execute("UPDATE counter SET n = n + 1")

    failures = []

    def guarded(n):
        try:
            work(n)
        except BaseException as e:
            failures.append(f"client {n}: {e!r}")

    threads = [threading.Thread(target=guarded, args=(n,)) for n in range(CLIENTS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    same(failures, [], "concurrent clients")
    with connect(autocommit=True) as c:
        same(value(c, "SELECT n FROM counter"), CLIENTS * 4, "updates of concurrent clients")


async def asynchronous():
    async def one(n):
        async with await psycopg.AsyncConnection.connect(**PARAMETERS, autocommit=True) as c:
            for i in range(20):
                cursor = await c.execute("SELECT %s::int + %s::int", (n, i))
                same((await cursor.fetchone())[0], n + i, "asynchronous client")

    await asyncio.gather(*(one(n) for n in range(CLIENTS)))


TABLES = {
    "tx": "(id int PRIMARY KEY)",
    "copied": "(id int, name text)",
    "counter": "AS SELECT 0 AS n",
}

with connect(autocommit=True) as setup:
    for table, rest in TABLES.items():
        setup.execute(f"DROP TABLE IF EXISTS {table}")
        setup.execute(f"CREATE TABLE {table} {rest}")
for part in [
    simple_and_extended,
    prepared_statements,
    many_names_on_one_connection,
    transactions,
    error_reports,
    copy,
    pipelines,
    notifications,
    notices,
    cancel,
    large_values,
    settings,
    server_side_cursor,
    concurrent_clients,
]:
    try:
        part()
    except psycopg.Error as e:
        raise SystemExit(f"psycopg, {MODE}: {part.__name__}: {e!r} (SQLSTATE {e.sqlstate})") from e
asyncio.run(asynchronous())
with connect(autocommit=True) as c:
    for table in TABLES:
        c.execute(f"DROP TABLE {table}")
print(f"psycopg {psycopg.__version__}: {passed} checks passed")
