#!/usr/bin/env python3
"""Stands between an ORM and PostgreSQL and writes down what is said, as labelled cases.

    recorder.py OUT.jsonl ORM SERVER_HOST SERVER_PORT -- COMMAND...

Runs COMMAND with PGHOST and PGPORT set to itself and RECORDER set to the port of a control connection.
On that the application says which scenario it plays, a JSON object a line, and waits for the answer:
{"begin": "clean-list"} and {"end": true}. What the labels are is in LABELS below: they say what the
definitions of the rules say about what was sent, and were written before any rule looked at it.

Everything is on loopback. TLS is declined.
"""

import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time

# Scenario: (rules that apply, why). No other rule of severity warn or critical applies to any of them.
LABELS = {
    "clean-list": ([], "a page of posts with their authors, loaded together"),
    "clean-get": ([], "one row by its key"),
    "clean-keyset": ([], "the next page by key"),
    "clean-bulk": ([], "many rows in one statement"),
    "clean-update": ([], "one row changed in a transaction"),
    "clean-count": ([], "a count with a filter"),
    "clean-exists": ([], "whether there is one"),
    "n-plus-one": (["n-plus-one"], "twelve posts, then the author of each, one by one"),
    "n-plus-one-children": (["n-plus-one"], "eight authors, then the posts of each, one by one"),
    "insert-loop": (["row-by-row-insert"], "fifteen rows saved one by one"),
    "update-loop": (["row-by-row-write"], "fifteen rows changed one by one"),
    "delete-loop": (["row-by-row-write"], "fifteen rows deleted one by one"),
    "same-again": (["repeated-identical-query"], "the same row ten times"),
    "deep-page": (["deep-offset"], "page 200 by OFFSET"),
    "contains": (["leading-wildcard-like"], "a search for a part of the title"),
    "random": (["order-by-random"], "five rows by chance"),
    "purge": (["missing-where"], "every row deleted"),
    "update-all": (["missing-where"], "every row changed"),
    "ignore-case": (["non-sargable-predicate"], "a comparison that ignores case"),
}

# Rules that cannot be judged without a catalogue: Django casts the column to text, which it may be.
UNJUDGED = {"contains": ["non-sargable-predicate"]}

LONGEST = 1 << 24
ROWS = 256


class Scenario:
    def __init__(self):
        self.lock = threading.Lock()
        self.name = None
        self.start = 0.0
        self.statements = []

    def now(self):
        return time.monotonic()


class Client:
    """One connection of the application."""

    def __init__(self, number, scenario):
        self.number = number
        self.scenario = scenario
        self.prepared = {}
        self.portals = {}
        self.queue = []  # what the server still has to answer
        self.batch = 0
        self.batches = {}
        self.tx = False

    def frontend(self, tag, body):
        now = self.scenario.now()
        if tag == "Q":
            self.batch += 1
            self.queue.append({"sql": body[:-1].decode(), "params": [], "sent": now, "simple": True})
            self.queue.append("Z")
        elif tag == "P":
            name, rest = body.split(b"\0", 1)
            self.prepared[name] = rest.split(b"\0", 1)[0].decode()
        elif tag == "B":
            portal, rest = body.split(b"\0", 1)
            name, rest = rest.split(b"\0", 1)
            self.portals[portal] = (self.prepared.get(name, ""), params(rest))
        elif tag == "E":
            portal, rest = body.split(b"\0", 1)
            sql, values = self.portals.get(portal, ("", []))
            (fetch,) = struct.unpack("!i", rest[:4])
            self.queue.append(
                {"sql": sql, "params": values, "sent": now, "fetch": fetch, "batch": self.batch, "simple": False}
            )
        elif tag == "S":
            self.batch += 1
            self.queue.append("Z")

    def backend(self, tag, body):
        front = self.queue[0] if self.queue and self.queue[0] != "Z" else None
        if tag == "T" and front is not None:
            front["columns"] = columns(body)
        elif tag == "T":
            # Of a Describe before its Execute came.
            self.described = columns(body)
        elif tag == "D" and front is not None:
            front.setdefault("data", [])
            if len(front["data"]) < ROWS:
                front["data"].append(row(body))
        elif tag in "CsI" and front is not None:
            words = body.rstrip(b"\0").split()
            count = int(words[-1]) if words and words[-1].isdigit() else 0
            front["rows"] = front.get("rows", 0) + (len(front.get("data", [])) if tag == "s" else count)
            if not front["simple"]:
                self.done(self.queue.pop(0))
        elif tag == "E":
            fields = dict((f[:1], f[1:]) for f in body.split(b"\0") if f)
            if front is not None:
                front["error"] = fields.get(b"C", b"XX000").decode()
                if not front["simple"]:
                    self.done(self.queue.pop(0))
            while self.queue and self.queue[0] != "Z" and not self.queue[0]["simple"]:
                self.queue.pop(0)
        elif tag == "Z":
            status = body.decode()
            if front is not None and front["simple"]:
                self.done(self.queue.pop(0), status)
            if self.queue and self.queue[0] == "Z":
                self.queue.pop(0)
            self.tx = status != "I"

    def done(self, one, status=None):
        scenario = self.scenario
        now = scenario.now()
        with scenario.lock:
            if scenario.name is None:
                return
            ms = lambda t: round((t - scenario.start) * 1000, 2)
            said = {
                "sql": one["sql"],
                "params": one["params"],
                "rows": one.get("rows", 0),
                "at_ms": ms(one["sent"]),
                "dur_ms": round((now - one["sent"]) * 1000, 2),
                "conn": self.number,
                # BEGIN and COMMIT belong to the block.
                "tx": self.tx or status in ("T", "E"),
            }
            if one.get("error"):
                said["error"] = one["error"]
            if one.get("fetch"):
                said["fetch"] = one["fetch"]
            if not one["simple"]:
                said["pipeline"] = self.number * 100000 + one["batch"]
            if one.get("columns"):
                said["columns"] = one["columns"]
                data = one.get("data", [])
                if len(data) >= 2:
                    said["result"] = {
                        name: [r[at] for r in data if at < len(r)]
                        for at, name in enumerate(one["columns"])
                        if all(v is None or len(v) <= 40 for v in (r[at] for r in data if at < len(r)))
                    }
            scenario.statements.append(said)


def params(rest):
    (formats,) = struct.unpack("!H", rest[:2])
    codes = struct.unpack(f"!{formats}H", rest[2 : 2 + 2 * formats])
    at = 2 + 2 * formats
    (count,) = struct.unpack("!H", rest[at : at + 2])
    at += 2
    values = []
    for n in range(count):
        (size,) = struct.unpack("!i", rest[at : at + 4])
        at += 4
        if size < 0:
            values.append(None)
            continue
        raw = rest[at : at + size]
        at += size
        code = codes[n] if formats > 1 else (codes[0] if formats else 0)
        if code and size in (2, 4, 8):
            values.append(int.from_bytes(raw, "big", signed=True))
        else:
            text = raw.decode(errors="replace")
            values.append(int(text) if text.lstrip("-").isdigit() and len(text) < 18 else text)
    return values


def columns(body):
    (count,) = struct.unpack("!H", body[:2])
    names, at = [], 2
    for _ in range(count):
        end = body.index(b"\0", at)
        names.append(body[at:end].decode())
        at = end + 19
    return names


def row(body):
    (count,) = struct.unpack("!H", body[:2])
    values, at = [], 2
    for _ in range(count):
        (size,) = struct.unpack("!i", body[at : at + 4])
        at += 4
        if size < 0:
            values.append(None)
        else:
            values.append(body[at : at + size].decode(errors="replace"))
            at += size
    return values


def exactly(sock, size):
    out = b""
    while len(out) < size:
        more = sock.recv(size - len(out))
        if not more:
            raise EOFError
        out += more
    return out


def relay(source, target, handle, typed):
    """Passes messages on; the first of a client has no type."""
    try:
        while True:
            head = exactly(source, 4 if not typed else 5)
            (size,) = struct.unpack("!I", head[-4:])
            if size > LONGEST:
                raise EOFError
            body = exactly(source, size - 4)
            if not typed:
                if struct.unpack("!I", body[:4])[0] in (80877103, 80877104):
                    source.sendall(b"N")
                    continue
                typed = True
                target.sendall(head + body)
                continue
            handle(chr(head[0]), body)
            target.sendall(head + body)
    except (EOFError, OSError):
        for sock in (source, target):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def listen():
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(64)
    return sock


def control(sock, scenario, cases, orm):
    while True:
        peer, _ = sock.accept()
        file = peer.makefile("rw")
        for line in iter(file.readline, ""):
            said = json.loads(line)
            with scenario.lock:
                if "begin" in said:
                    scenario.name, scenario.statements = said["begin"], []
                    scenario.start = scenario.now()
                else:
                    cases.append(case(orm, scenario))
                    scenario.name = None
            file.write("ok\n")
            file.flush()


def warning_rules():
    path = os.environ["RULES_JSON"]
    return [r["id"] for r in json.load(open(path)) if r["severity"] in ("warn", "critical")]


def case(orm, scenario):
    expect, why = LABELS[scenario.name]
    known = expect + UNJUDGED.get(scenario.name, [])
    nothing = [rule for rule in warning_rules() if rule not in known]
    return {
        "id": f"{orm}-{scenario.name}",
        "statements": scenario.statements,
        "expect": expect,
        "not": nothing,
        "why": why,
    }


def main():
    out, orm, host, port, _, *command = sys.argv[1:]
    scenario, cases = Scenario(), []
    front, steering = listen(), listen()

    def accept():
        number = 0
        while True:
            client, _ = front.accept()
            server = socket.create_connection((host, int(port)))
            for sock in (client, server):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            number += 1
            one = Client(number, scenario)
            for args in ((client, server, one.frontend, False), (server, client, one.backend, True)):
                threading.Thread(target=relay, args=args, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    threading.Thread(target=control, args=(steering, scenario, cases, orm), daemon=True).start()
    environment = dict(
        os.environ,
        PGHOST="127.0.0.1",
        PGPORT=str(front.getsockname()[1]),
        RECORDER=str(steering.getsockname()[1]),
    )
    done = subprocess.run(command, env=environment)
    if done.returncode:
        sys.exit(done.returncode)
    with open(out, "w") as file:
        for one in cases:
            file.write(json.dumps(one, ensure_ascii=False) + "\n")
    print(f"{out}: {len(cases)} cases")


main()
