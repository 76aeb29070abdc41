"""The console as monitoring uses it: psycopg2 as Datadog's agent does, psycopg with both
protocols, and the columns that prometheus-community's exporter and the agent read by name.

DRIVER_MODE=pgbouncer leaves out what a PgBouncer of Debian does not have.
"""

import os
import re
import time

import psycopg
import psycopg2
import psycopg2.extensions
import psycopg2.extras

MODE = os.environ.get("DRIVER_MODE", "pgweir")
ORIGINAL = MODE == "pgbouncer"
PARAMETERS = dict(
    host=os.environ.get("DRIVER_HOST", "127.0.0.1"),
    port=int(os.environ["DRIVER_PORT"]),
    dbname=os.environ["DRIVER_DATABASE"],
    user=os.environ["DRIVER_USER"],
    password=os.environ["DRIVER_PASSWORD"],
    connect_timeout=20,
)
passed = 0


def check(condition, what):
    global passed
    if not condition:
        raise SystemExit(f"console, {MODE}: failed: {what}")
    passed += 1


# Columns that are read by name: labels are text or NULL, the others are numbers.
# Source: collector.go of pgbouncer_exporter, metrics.py of Datadog's check.
LABELS = {
    "DATABASES": "name host database force_user pool_mode",
    "STATS": "database",
    "STATS_TOTALS": "database",
    "POOLS": "database user",
    "CLIENTS": "user database state addr connect_time request_time",
    "SERVERS": "user database state addr connect_time request_time",
}
NUMBERS = {
    "DATABASES": "port pool_size max_connections current_connections paused disabled",
    "STATS": "total_xact_count total_query_count total_received total_sent total_query_time "
    "total_xact_time total_wait_time avg_xact_count avg_query_count avg_wait_time avg_recv "
    "avg_sent avg_xact_time avg_query_time",
    "STATS_TOTALS": "query_count query_time bytes_received bytes_sent wait_time xact_count "
    "xact_time",
    "POOLS": "cl_active cl_active_cancel_req cl_waiting cl_waiting_cancel_req sv_active "
    "sv_active_cancel sv_being_canceled sv_idle sv_used sv_tested sv_login maxwait maxwait_us",
    "CLIENTS": "wait wait_us",
    "SERVERS": "port",
}
if not ORIGINAL:
    NUMBERS["DATABASES"] += " reserve_pool_size"
    NUMBERS["STATS_TOTALS"] += " client_parse_count server_parse_count bind_count"
LISTS = """databases users pools free_clients used_clients login_clients free_servers used_servers
    dns_names dns_zones dns_queries""".split()


def number(value):
    return value is not None and float(value) >= 0


def look(what, rows):
    """`rows` of SHOW `what`, as dictionaries."""
    check(rows, f"SHOW {what} is empty")
    for row in rows:
        for column in LABELS[what].split():
            value = row[column]
            check(value is None or isinstance(value, str), f"{what}.{column}: {value!r}")
            if column.endswith("_time"):
                # As Datadog's agent reads it.
                stamp = re.findall(r"^[^ ]+ [^ ]+", value)[0]
                check(time.strptime(stamp, "%Y-%m-%d %H:%M:%S"), f"{column}: {value!r}")
        for column in NUMBERS[what].split():
            check(number(row[column]), f"{what}.{column}: {row[column]!r}")


def exporter(query):
    """What the exporter asks for: `query` gives column names and rows."""
    names, rows = query("SHOW LISTS;")
    check(len(names) == 2, f"SHOW LISTS has {names}")
    lists = {name: items for name, items in rows}
    check(all(number(lists[name]) for name in LISTS), f"SHOW LISTS: {lists}")
    names, rows = query("SHOW CONFIG;")
    check(names == ["key", "value", "default", "changeable"], f"SHOW CONFIG has {names}")
    settings = {row[0]: row[1] for row in rows}
    for key in ("max_client_conn", "max_user_connections"):
        check(number(settings[key]), f"{key} = {settings[key]!r}")
    names, rows = query("SHOW VERSION;")
    check(names == ["version"] and len(rows) == 1, f"SHOW VERSION: {rows}")
    check(re.match(r"PgBouncer \d+\.\d+\.\d+", rows[0][0]), f"SHOW VERSION: {rows}")
    for what in LABELS:
        names, rows = query(f"SHOW {what};")
        look(what, [dict(zip(names, row)) for row in rows])


def datadog():
    with_agent = psycopg2.connect(**PARAMETERS)
    with_agent.set_isolation_level(psycopg2.extensions.ISOLATION_LEVEL_AUTOCOMMIT)
    with with_agent.cursor(cursor_factory=psycopg2.extras.DictCursor) as cursor:
        for what in LABELS:
            cursor.execute(f"SHOW {what}")
            look(what, cursor.fetchall())
        cursor.execute("SHOW VERSION;")
        told = with_agent.notices[0] if with_agent.notices else cursor.fetchone()[0]
        check(re.findall(r"\d+\.\d+\.\d+", told), f"SHOW VERSION: {told!r}")
    with_agent.close()


def both_protocols():
    # A connection that is not in autocommit would send BEGIN first.
    with psycopg.connect(**PARAMETERS, autocommit=True) as connection:

        def ask(**options):
            def query(text):
                with connection.cursor() as cursor:
                    cursor.execute(text, **options)
                    return [column.name for column in cursor.description], cursor.fetchall()

            return query

        exporter(ask())
        if ORIGINAL:
            return
        # Parse, Bind, Describe, Execute; then with a named statement; then with binary values.
        exporter(ask(prepare=True))
        for what in LABELS:
            with connection.cursor(binary=True) as cursor:
                cursor.execute(f"SHOW {what}")
                names = [column.name for column in cursor.description]
                look(what, [dict(zip(names, row)) for row in cursor.fetchall()])


datadog()
both_protocols()
print(f"{passed} checks passed")
