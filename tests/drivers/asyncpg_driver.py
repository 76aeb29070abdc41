"""asyncpg: everything that an application may do, with many clients over few servers.

asyncpg prepares every statement under a name of its own and binds in binary format.
"""

import asyncio
import io
import os

import asyncpg

MODE = os.environ.get("DRIVER_MODE", "direct")
PARAMETERS = dict(
    host=os.environ.get("DRIVER_HOST", "127.0.0.1"),
    port=int(os.environ["DRIVER_PORT"]),
    database=os.environ["DRIVER_DATABASE"],
    user=os.environ["DRIVER_USER"],
    password=os.environ["DRIVER_PASSWORD"],
    timeout=20,
    ssl=False,
)
CLIENTS = 24
passed = 0


def check(condition, what):
    global passed
    if not condition:
        raise SystemExit(f"asyncpg, {MODE}: failed: {what}")
    passed += 1


def same(got, expected, what):
    check(got == expected, f"{what}: got {got!r}, expected {expected!r}")


class Connection:
    """`async with` around a connection."""

    def __init__(self, **more):
        self.more = more

    async def __aenter__(self):
        self.connection = await asyncpg.connect(**{**PARAMETERS, **self.more})
        return self.connection

    async def __aexit__(self, *_):
        await self.connection.close(timeout=20)


async def simple_and_extended():
    async with Connection() as c:
        same(await c.fetchval("SELECT 1"), 1, "query without parameters")
        same(await c.fetchval("SELECT $1::int + 1", 41), 42, "query with a parameter")
        same(await c.execute("SELECT 1; SELECT 2"), "SELECT 1", "several statements")
        row = await c.fetchrow("SELECT $1::int8, $2::text, $3::bytea", 2**40, "zwölf", b"\0\xff")
        same(tuple(row), (2**40, "zwölf", b"\0\xff"), "binary values")
        same(await c.fetchval("SELECT $1::int[]", [1, 2, 3]), [1, 2, 3], "an array")


async def prepared_statements():
    connections = [await asyncpg.connect(**PARAMETERS) for _ in range(CLIENTS)]
    statements = [await c.prepare("SELECT $1::int * 3") for c in connections]
    for round_ in range(5):
        got = await asyncio.gather(*(s.fetchval(n + round_) for n, s in enumerate(statements)))
        same(got, [(n + round_) * 3 for n in range(CLIENTS)], "statements of many clients")
    for c in connections:
        for n in range(120):
            # More than asyncpg's own cache of 100 keeps: it closes the eldest.
            same(await c.fetchval(f"SELECT {n} + $1::int", 1), n + 1, "many statements")
        await c.close()


async def transactions():
    async with Connection() as c:
        async with c.transaction():
            await c.execute("INSERT INTO a_tx VALUES (1)")
            try:
                async with c.transaction():
                    await c.execute("INSERT INTO a_tx VALUES (2)")
                    raise KeyError
            except KeyError:
                pass
        same(await c.fetchval("SELECT count(*) FROM a_tx"), 1, "savepoint rolled back")
        try:
            async with c.transaction():
                await c.execute("INSERT INTO a_tx VALUES (1)")
            check(False, "a duplicate was taken")
        except asyncpg.UniqueViolationError as e:
            same(e.sqlstate, "23505", "SQLSTATE of a duplicate")
        async with c.transaction(isolation="serializable", readonly=True):
            same(await c.fetchval("SHOW transaction_isolation"), "serializable", "isolation level")
        async with c.transaction():
            total = 0
            async for row in c.cursor("SELECT generate_series(1, 500)", prefetch=50):
                total += row[0]
            same(total, 125250, "cursor")


async def errors():
    async with Connection() as c:
        for query, state in [
            ("SELECT 1/0", "22012"),
            ("SELEC", "42601"),
            ("SELECT * FROM nowhere", "42P01"),
        ]:
            try:
                await c.fetch(query)
                check(False, query)
            except asyncpg.PostgresError as e:
                same(e.sqlstate, state, query)
        same(await c.fetchval("SELECT 1"), 1, "after errors")


async def copy():
    async with Connection() as c:
        rows = [(n, f"row {n} " + "x" * 100) for n in range(5000)]
        same(await c.copy_records_to_table("a_copied", records=rows), "COPY 5000", "COPY in, binary")
        out = io.BytesIO()
        same(await c.copy_from_table("a_copied", output=out), "COPY 5000", "COPY out")
        same(out.getvalue().count(b"\n"), 5000, "rows of COPY out")
        try:
            await c.copy_to_table("a_copied", source=io.BytesIO(b"no number\tx\n"))
            check(False, "nonsense was copied")
        except asyncpg.DataError:
            pass
        same(await c.fetchval("SELECT count(*) FROM a_copied"), 5000, "failed COPY leaves nothing")


async def executemany():
    async with Connection() as c:
        await c.executemany("INSERT INTO a_many VALUES ($1, $2)", [(n, "x") for n in range(2000)])
        same(await c.fetchval("SELECT count(*) FROM a_many"), 2000, "executemany")
        try:
            await c.executemany("INSERT INTO a_many VALUES ($1, $2)", [(9000, "x"), (1, "y")])
            check(False, "a duplicate was taken")
        except asyncpg.UniqueViolationError:
            pass
        same(await c.fetchval("SELECT count(*) FROM a_many"), 2000, "failed executemany is undone")


async def notifications():
    async with Connection() as listener, Connection() as teller:
        heard = asyncio.Queue()
        await listener.add_listener("a_news", lambda *args: heard.put_nowait(args[3]))
        for n in range(3):
            await teller.execute("SELECT pg_notify('a_news', $1)", f"number {n}")
        got = [await asyncio.wait_for(heard.get(), 20) for _ in range(3)]
        same(got, ["number 0", "number 1", "number 2"], "notifications")


async def notices():
    async with Connection() as c:
        heard = []
        c.add_log_listener(lambda _, message: heard.append(message.message))
        await c.execute("DO $$ BEGIN RAISE NOTICE 'take note'; END $$")
        await asyncio.sleep(0)
        same(heard, ["take note"], "notice")


async def cancel():
    async with Connection() as c:
        try:
            await c.fetchval("SELECT pg_sleep(60)", timeout=0.7)
            check(False, "it did not time out")
        except asyncio.TimeoutError:
            pass
        same(await c.fetchval("SELECT 1"), 1, "after a cancel")


async def large_values():
    async with Connection() as c:
        big = "0123456789" * 1_000_000
        check(await c.fetchval("SELECT $1::text", big) == big, "large value there and back")
        same(len(await c.fetch("SELECT generate_series(1, 100000)")), 100000, "many rows")


async def settings():
    connections = [await asyncpg.connect(**PARAMETERS) for _ in range(CLIENTS)]
    for n, c in enumerate(connections):
        await c.execute(f"SET application_name = 'client {n}'")
    for _ in range(3):
        got = await asyncio.gather(*(c.fetchval("SHOW application_name") for c in connections))
        same(got, [f"client {n}" for n in range(CLIENTS)], "application_name of clients")
    for c in connections:
        await c.reset()
        same(await c.fetchval("SHOW application_name"), "", "after reset")
        await c.close()
    async with Connection(server_settings={"application_name": "born", "jit": "off"}) as c:
        same(await c.fetchval("SHOW jit"), "off", "setting of the startup packet")
        same(c.get_settings().application_name, "born", "reported setting")


async def concurrent_clients():
    pool = await asyncpg.create_pool(**PARAMETERS, min_size=CLIENTS, max_size=CLIENTS)

    async def work(n):
        for i in range(10):
            async with pool.acquire() as c:
                same(await c.fetchval("SELECT $1::int * 1000 + $2::int", n, i), n * 1000 + i, "own answer")
                async with c.transaction():
                    await c.execute("UPDATE a_counter SET n = n + 1")

    await asyncio.gather(*(work(n) for n in range(CLIENTS * 2)))
    same(await pool.fetchval("SELECT n FROM a_counter"), CLIENTS * 20, "updates of concurrent clients")
    await pool.close()


TABLES = {
    "a_tx": "(id int PRIMARY KEY)",
    "a_copied": "(id int, name text)",
    "a_many": "(id int PRIMARY KEY, name text)",
    "a_counter": "AS SELECT 0 AS n",
}


async def main():
    async with Connection() as c:
        for table, rest in TABLES.items():
            await c.execute(f"DROP TABLE IF EXISTS {table}")
            await c.execute(f"CREATE TABLE {table} {rest}")
    for part in [
        simple_and_extended,
        prepared_statements,
        transactions,
        errors,
        copy,
        executemany,
        notifications,
        notices,
        cancel,
        large_values,
        settings,
        concurrent_clients,
    ]:
        try:
            await asyncio.wait_for(part(), 120)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, asyncio.TimeoutError) as e:
            raise SystemExit(f"asyncpg, {MODE}: {part.__name__}: {e!r}") from e
    async with Connection() as c:
        for table in TABLES:
            await c.execute(f"DROP TABLE {table}")


asyncio.run(main())
print(f"asyncpg {asyncpg.__version__}: {passed} checks passed")
