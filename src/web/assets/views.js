// The views. Each is { path, name, load(parts, state), draw(data, state, act) }; `load` is called again and
// again while the view is seen.
import { h, svg, link, badge, meter, count, many, bytes, time, took, ago, table, sql } from "./dom.js";
import { listed, shown, filter, sub, query } from "./lists.js";
import { locks } from "./locks.js";
import { mirrors } from "./mirrors.js";
import { Plots } from "./plots.js";

// --- pools ----------------------------------------------------------------------------------------------

const wait = (row) => row.maxwait * 1e6 + row.maxwait_us;
const POOLS = [
  { key: "database", name: "pool", cell: (r) => link(["pools", r.database, r.user, ...(r.replica ? [r.replica] : [])], r.database + "/" + r.user, r.replica && sub("on " + r.replica)) },
  { key: "cl_waiting", name: "clients waiting", num: true, bad: (r) => r.cl_waiting > 0 },
  { key: "maxwait_us", name: "longest wait now", num: true, sort: false, cell: (r) => time(wait(r)), bad: (r) => wait(r) >= 1e6 },
  { key: "query_p95_us", name: "query, 95 %", num: true, cell: (r) => took(r.query_p95_us) },
  { key: "xact_p95_us", name: "transaction, 95 %", num: true, cell: (r) => took(r.xact_p95_us) },
  { key: "wait_p95_us", name: "wait, 95 %", num: true, cell: (r) => took(r.wait_p95_us) },
  { key: "sv_active", name: "servers in use", num: true, cell: (r) => [meter(r.sv_active / r.pool_size), `${r.sv_active} of ${r.pool_size}`] },
  { key: "sv_idle", name: "idle", num: true },
  { key: "sv_login", name: "logging in", num: true },
  { key: "cl_active", name: "clients not waiting", num: true },
  { key: "pool_mode", name: "mode", cell: (r) => [r.pool_mode, r.paused && [" ", badge("paused")]] },
];

const poolTable = (rows, state, resort) => table(POOLS, rows, state?.sort, resort, (r) => r.cl_waiting > 0 && wait(r) >= 1e6 && "bad");

const pools = {
  path: "pools", name: "Pools",
  load: async (api, parts, state) => {
    if (parts.length === 0) return listed("/pools", ["cl_waiting", true])(api, parts, state);
    const [database, user, replica] = parts;
    const query = new URLSearchParams({ database, user: user ?? "", replica: replica ?? "" });
    const [row, past] = await Promise.all([api("/pools?" + query), api("/pools/history?" + query)]);
    return { one: row.rows[0] ?? null, past: past.rows };
  },
  draw: (answer, state) => {
    if (!answer.rows) return pool(answer, state);
    state.sort ??= ["cl_waiting", true];
    const act = (name) => state.act(name, {}, name + " for all databases");
    const bar = state.operator && h("div", { class: "bar" },
      h("button", { type: "button", onclick: () => act("pause") }, "PAUSE all"),
      h("button", { type: "button", onclick: () => act("resume") }, "RESUME all"),
      h("button", { type: "button", onclick: () => act("reconnect") }, "RECONNECT all"));
    return [h("h1", null, "Pools"), bar, filter(state, [["database", "database"], ["user", "user"]]),
      h("div", { class: "card" }, poolTable(answer.rows, state, state.resort), shown(answer, "pools"))];
  },
};

// Rows of a table of quantiles.
const TIMES = [["query", "query"], ["xact", "transaction"], ["wait", "wait for a server"], ["connect", "connecting to a server"]];

function pool({ one, past }, state) {
  if (!one) return h("p", { class: "note" }, "This pool is not there any more.");
  state.own ??= new Plots("a point each ten seconds");
  state.own.begin(past);
  const name = one.database + "/" + one.user;
  return [h("h1", null, "Pool ", h("code", null, name), one.replica && " on " + one.replica),
    h("div", { class: "cards" },
      h("div", { class: "card" }, h("h2", null, "Now"), facts([
        ["clients not waiting", count(one.cl_active)], ["clients waiting", count(one.cl_waiting)], ["longest wait now", one.cl_waiting > 0 && time(wait(one))],
        ["servers in use", `${one.sv_active} of ${one.pool_size}`], ["servers idle", count(one.sv_idle)], ["servers logging in", count(one.sv_login)],
        ["mode", one.pool_mode + (one.paused ? ", paused" : "")]])),
      h("div", { class: "card" }, h("h2", null, "How long things took in the last ten seconds"), table([
        { key: "what", name: "", cell: (r) => r[1] },
        { key: "p50", name: "median", num: true, cell: (r) => took(one[r[0] + "_p50_us"]) },
        { key: "p95", name: "95 %", num: true, cell: (r) => took(one[r[0] + "_p95_us"]) },
        { key: "p99", name: "99 %", num: true, cell: (r) => took(one[r[0] + "_p99_us"]) }], TIMES),
        h("p", { class: "quiet" }, link(["clients"], "Clients"), ", ", link(["servers"], "servers"), ", ", link(["statements"], "statements")))),
    state.own.element()];
}

// --- servers and replicas ---------------------------------------------------------------------------

const CLUSTER = [
  { key: "database", name: "database" },
  { key: "server" },
  { key: "role", cell: (r) => badge(r.role) },
  { key: "state", name: "gets", cell: (r) => ({ writes: "writes", reads: "reads", out: "nothing" })[r.state] ?? badge(r.state) },
  { key: "lag_ms", name: "lag", num: true, cell: (r) => r.lag_ms === null ? "" : time(r.lag_ms * 1e3) },
  { key: "lag_bytes", name: "behind by", num: true, cell: (r) => r.lag_bytes === null ? "" : bytes(r.lag_bytes) },
  { key: "latency_us", name: "answers in", num: true, cell: (r) => time(r.latency_us) },
  { key: "active", name: "in use", num: true },
  { key: "waiting", num: true, bad: (r) => r.waiting > 0 },
  { key: "timeline", num: true },
  { key: "reason", name: "why", wide: true },
];
const clusterTable = (rows) => table(CLUSTER, rows, null, null, (r) => (r.state === "banned" || ["fenced", "stranger", "down"].includes(r.role)) && "bad");

const since = (text) => h("span", { title: text }, ago(text));
const SERVERS = [
  { key: "database", name: "pool", cell: (r) => r.database + "/" + r.user },
  { key: "addr", name: "server", cell: (r) => r.addr + ":" + r.port },
  { key: "state", cell: (r) => badge(r.state) },
  { key: "application_name", name: "used by", cell: (r) => r.application_name },
  { key: "request_time", name: "lent", cell: (r) => since(r.request_time) },
  { key: "connect_time", name: "opened", cell: (r) => since(r.connect_time) },
  { key: "remote_pid", name: "backend", num: true },
  { key: "prepared_statements", name: "prepared", num: true },
  { key: "tls", cell: (r) => r.tls || "none" },
];

const servers = {
  path: "servers", name: "Servers",
  load: async (api, parts, state) => {
    const [cluster, all] = await Promise.all([api("/cluster?limit=200"), listed("/servers", ["request_time", false])(api, parts, state)]);
    return { cluster, all };
  },
  draw: ({ cluster, all }, state) => {
    state.sort ??= ["request_time", false];
    return [h("h1", null, "Servers and replicas"),
      h("div", { class: "card" }, h("h2", null, "Clusters"), cluster.rows.length ? clusterTable(cluster.rows)
        : h("p", { class: "note" }, "No database has several servers (", h("code", null, "servers = [...]"), ").")),
      filter(state, [["database", "database"], ["state", "state"], ["application_name", "application"]]),
      h("div", { class: "card" }, h("h2", null, "Connections"), table(SERVERS, all.rows, state.sort, state.resort), shown(all, "server connections"))];
  },
};

// --- clients ------------------------------------------------------------------------------------------------

const clients = {
  path: "clients", name: "Clients",
  load: listed("/clients", ["state", true]),
  draw: (answer, state) => {
    state.sort ??= ["state", true];
    const columns = [
      { key: "id", num: true },
      { key: "application_name", name: "application", cell: (r) => [r.application_name || "–", sub(r.user)] },
      { key: "database" },
      { key: "state", cell: (r) => badge(r.state) },
      { key: "wait", name: "waits for", num: true, cell: (r) => r.state === "waiting" ? time(r.wait * 1e6 + r.wait_us) : "", bad: (r) => r.wait >= 1 },
      { key: "request_time", name: "last request", cell: (r) => since(r.request_time) },
      { key: "connect_time", name: "connected", cell: (r) => since(r.connect_time) },
      { key: "addr", name: "from", cell: (r) => r.addr + (r.port ? ":" + r.port : "") },
      { key: "pins", name: "keeps its server for" },
      { key: "tls", cell: (r) => r.tls || "none" },
    ];
    if (state.operator) columns.push({ key: "kill", name: "", sort: false, cell: (r) => h("button", {
      type: "button", onclick: () => state.act("kill_client", { client: r.ptr }, `KILL_CLIENT ${r.id} (${r.application_name || r.user})`) }, "Kill") });
    return [h("h1", null, "Clients"), filter(state, [["database", "database"], ["user", "user"], ["application_name", "application"], ["state", "state"]]),
      h("div", { class: "card" }, table(columns, answer.rows, state.sort, state.resort), shown(answer, "clients"))];
  },
};

// --- statements ---------------------------------------------------------------------------------------------

function statementTable(rows, sorted, resort, short) {
  const all = rows.reduce((sum, row) => sum + row.server_us, 0);
  const columns = [
    { key: "query", name: "statement", wide: true, cell: (r) => link(["statements", r.shape, r.database, r.user], query(r.query)) },
    { key: "server_us", name: "server time", num: true, cell: (r) => [time(r.server_us), sub(all ? Math.round(r.server_us / all * 100) + " %" : "")] },
    { key: "calls", num: true, cell: (r) => count(r.calls) },
    { key: "server_p50_us", name: "median", num: true, cell: (r) => time(r.server_p50_us) },
    { key: "server_p95_us", name: "95 %", num: true, cell: (r) => time(r.server_p95_us) },
    !short && { key: "server_max_us", name: "longest", num: true, cell: (r) => time(r.server_max_us) },
    !short && { key: "wait_us", name: "waited", num: true, cell: (r) => time(r.wait_us) },
    !short && { key: "rows", num: true, cell: (r) => count(r.rows) },
    !short && { key: "bytes", num: true, cell: (r) => bytes(r.bytes) },
    !short && { key: "errors", num: true, bad: (r) => r.errors > 0 },
    !short && { key: "database", name: "database", cell: (r) => [r.database, sub(r.user)] },
    !short && { key: "plan", wide: true, cell: (r) => r.plan && h("code", null, r.plan) },
  ].filter(Boolean);
  return table(columns, rows, sorted, resort);
}

const BY_TIME = ["server_us", true];
const statements = {
  path: "statements", name: "Statements",
  load: async (api, parts, state) => {
    if (parts.length === 0) return listed("/statements", BY_TIME)(api, parts, state);
    const [shape, database, user] = parts;
    const picked = new URLSearchParams({ shape });
    if (database) picked.set("database", database);
    if (user) picked.set("user", user);
    const one = (await api("/statements?" + picked)).rows[0] ?? null;
    const ranges = one ? (await api("/statements/" + encodeURIComponent(shape) + "/histogram")).rows : [];
    return { one, ranges, plan: one?.plan ? await api("/statements/" + encodeURIComponent(shape) + "/plan") : null };
  },
  draw: (answer, state) => {
    if (!answer.rows) return statement(answer);
    state.sort ??= BY_TIME;
    return [h("h1", null, "Statements"), filter(state, [["database", "database"], ["user", "user"]]),
      h("div", { class: "card" }, statementTable(answer.rows, state.sort, state.resort), shown(answer, "statements"))];
  },
};

// A histogram of times: a bar for each range between powers of two.
function histogram(ranges, key, kind) {
  const any = ranges.filter((range) => range[key] > 0);
  if (any.length === 0) return h("p", { class: "quiet" }, "none");
  const first = ranges.indexOf(any[0]);
  const part = ranges.slice(first, ranges.indexOf(any[any.length - 1]) + 1);
  const most = Math.max(...part.map((range) => range[key]));
  // The scale stands left of the bars.
  const left = 52;
  const width = (584 - left) / Math.max(part.length, 12);
  const scale = [[most, 10], [most / 2, 55], [0, 100]].filter(([n]) => Number.isInteger(n) || most > 20).flatMap(([n, y]) => [
    svg("line", { x1: left, x2: 584, y1: y, y2: y }), svg("text", { x: left - 5, y: y + 3.5, "text-anchor": "end" }, count(Math.round(n)))]);
  const bars = part.map((range, at) => {
    const height = range[key] ? Math.max(1.5, range[key] / most * 90) : 0;
    return [svg("rect", { class: kind, x: left + at * width + 1, y: 100 - height, width: width - 2, height, rx: 1.5 },
      svg("title", null, `${many(range[key], "execution")} up to ${time(range.up_to_us)}`)),
    svg("text", { x: left + at * width + width / 2, y: 114, "text-anchor": "middle" }, part.length > 16 && at % 2 ? "" : time(range.up_to_us))];
  });
  return svg("svg", { class: "histogram", viewBox: "0 0 600 120", role: "img", "aria-label": part.map((range) => `${range[key]} up to ${time(range.up_to_us)}`).join(", ") }, scale, bars);
}

// A node of a plan, with its conditions on lines of their own as in EXPLAIN.
function node(line) {
  const indent = /^ */.exec(line)[0] + "      ";
  return line.replace(/ ((?:Index|Hash|Merge) Cond|(?:Join )?Filter): /g, `\n${indent}$1: `);
}

function statement({ one, plan, ranges }) {
  if (!one) return h("p", { class: "note" }, "This statement is not known any more.");
  const most = Math.max(one.server_max_us, one.wait_p95_us, 1);
  const bar = (name, us, kind) => [h("span", null, name), svg("svg", { viewBox: "0 0 100 12", preserveAspectRatio: "none", class: kind, "aria-hidden": "true" },
    svg("rect", { width: Math.max(0.5, us / most * 100), height: 12, rx: 1 })), h("span", null, time(us))];
  return [h("h1", null, "Statement ", h("code", null, one.shape)), h("div", { class: "card" }, sql(one.query)),
    h("div", { class: "cards" },
      h("div", { class: "card" }, h("h2", null, "What it costs"), facts([
        ["database, user", one.database + ", " + one.user], ["calls", count(one.calls)], ["errors", count(one.errors)],
        ["server time", time(one.server_us)], ["waited for a server", time(one.wait_us)], ["rows", count(one.rows)], ["bytes", bytes(one.bytes)]])),
      h("div", { class: "card" }, h("h2", null, "How long it takes"), h("div", { class: "bars" },
        bar("median", one.server_p50_us), bar("95 %", one.server_p95_us), bar("longest", one.server_max_us), bar("waits, 95 %", one.wait_p95_us, "w")))),
    h("div", { class: "cards" },
      h("div", { class: "card" }, h("h2", null, "How many executions took the server how long"), histogram(ranges, "server", "server")),
      h("div", { class: "card" }, h("h2", null, "How many executions waited how long for a server"), histogram(ranges, "wait", "gap"))),
    h("div", { class: "card" }, h("h2", null, "Plan"), plan
      ? h("pre", { class: "plan" }, plan.rows.filter((row) => row.database === one.database && row.user === one.user).map((row) => node(row.plan)).join("\n"))
      : h("p", { class: "quiet" }, "None is known. The catalogue advisor asks for plans; ", h("code", null, "ADVISE " + one.database), " has it look now."))];
}

const facts = (pairs) => h("dl", { class: "facts" }, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false)
  .map(([name, value]) => [h("dt", null, name), h("dd", null, value)]));

// --- findings ---------------------------------------------------------------------------------------------

function findingTable(rows, sorted, resort, short) {
  return table([
    { key: "severity", cell: (r) => badge(r.severity) },
    { key: "rule", wide: true, name: "finding", cell: (r) => link(["findings", r.id], h("strong", null, r.rule + (r.kind ? ":" + r.kind : "")), sub(r.message)) },
    { key: "app", name: "application", cell: (r) => [r.app || "–", sub(r.database)] },
    { key: "server_us", name: "server time", num: true, cell: (r) => [time(r.server_us), short && sub(count(r.round_trips) + " round trips")] },
    !short && { key: "round_trips", name: "round trips", num: true, cell: (r) => count(r.round_trips) },
    !short && { key: "count", name: "times", num: true, cell: (r) => count(r.count) },
    !short && { key: "rows", num: true, cell: (r) => count(r.rows) },
    !short && { key: "first_seen", name: "since", cell: (r) => since(r.first_seen) },
    !short && { key: "last_seen", name: "last", cell: (r) => since(r.last_seen) },
    !short && { key: "status", cell: (r) => r.status === "open" ? r.status : badge(r.status) },
    !short && { key: "confidence" },
  ].filter(Boolean), rows, sorted, resort);
}

const findings = {
  path: "findings", name: "Findings",
  load: (api, parts, state) => parts.length ? api("/findings/" + encodeURIComponent(parts[0])) : listed("/findings", BY_TIME)(api, parts, state),
  draw: (answer, state) => {
    if (!answer.rows) return finding(answer, state);
    state.sort ??= BY_TIME;
    return [h("h1", null, "Findings"), filter(state, [["severity", "severity"], ["rule", "rule"], ["database", "database"], ["app", "application"], ["status", "status"]]),
      h("div", { class: "card" }, findingTable(answer.rows, state.sort, state.resort), shown(answer, "findings"))];
  },
};

function copied(text) {
  const button = h("button", { type: "button", onclick: async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } }, "Copy");
  return h("div", { class: "copy" }, h("pre", null, text), button);
}

function finding(one, state) {
  const cost = one.cost;
  const place = one.span && facts([["place", `line ${one.span.line}, column ${one.span.col}: ${one.span.text}`]]);
  const evidence = Object.entries(one.evidence).map(([name, value]) => [name.replaceAll("_", " "), typeof value === "string" ? value : JSON.stringify(value)]);
  const tags = Object.entries(one.tags).map(([name, value]) => [name, value]);
  const fix = one.suggestion;
  const acknowledge = state.operator && one.status === "open" && h("button", { type: "button", onclick: () => {
    const reason = prompt("Why does it stay? It is counted, and not logged for 30 days.");
    if (reason !== null) state.act("ack", { finding: one.id, reason }, "ACK " + one.id);
  } }, "Acknowledge (ACK)");
  return [
    h("h1", null, badge(one.severity), " ", one.rule + (one.kind ? ":" + one.kind : "")),
    h("div", { class: "card" }, h("h2", null, one.message), facts([
      ["application", one.app || "–"], ["database, user", one.db + ", " + one.user],
      ["status", one.status + (one.reason ? ": " + one.reason : "") + (one.suppression?.reason ? ": " + one.suppression.reason : "")],
      ["seen", h("span", null, `${many(one.count, "time")} in ${one.scopes}${one.scopes >= 256 ? " or more requests" : one.scopes === 1 ? " request" : " requests"}, first `, since(one.first_seen), ", last ", since(one.last_seen))],
      ["cost", `${many(cost.round_trips, "round trip")}, ${time(cost.server_ms * 1e3)} of servers, ${time(cost.client_gap_ms * 1e3)} in between, ${many(cost.rows, "row")}, ${bytes(cost.bytes)}${cost.blocked ? `, ${many(cost.blocked, "time")} refused` : ""}`],
      ["confidence", one.confidence], ["action", one.action], ["object", one.object], ["trace id", one.trace_id]]),
      acknowledge && h("p", null, acknowledge)),
    h("div", { class: "cards" },
      h("div", { class: "card" }, h("h2", null, "The statement"), place, sql(one.sample || one.query, one.span),
        one.parent_query && [h("h3", null, "It follows"), sql(one.parent_query)]),
      h("div", { class: "card fix" }, h("h2", null, "What to do"), h("p", null, fix.text),
        fix.framework && h("p", null, h("code", null, fix.framework)), fix.sql && copied(fix.sql),
        one.suppress_with && [h("h3", null, "Where it is meant, this comment in the statement keeps it silent"), copied(one.suppress_with)])),
    waterfall(one),
    h("div", { class: "cards" },
      evidence.length > 0 && h("div", { class: "card" }, h("h2", null, "Evidence"), facts(evidence)),
      tags.length > 0 && h("div", { class: "card" }, h("h2", null, "Where it comes from"), facts(tags))),
  ];
}

// The statements of one request as they were sent, and how much of it was waiting for the next.
function waterfall(one) {
  const times = one.timeline;
  if (times.length < 2) return average(one);
  const total = Math.max(...times.map(([at, took]) => at + took), 1);
  const height = 12 * times.length + 26;
  const x = (us) => 90 + us / total * 690;
  const parts = times.flatMap(([at, took], row) => {
    const before = row > 0 ? times[row - 1][0] + times[row - 1][1] : at;
    return [svg("text", { x: 0, y: row * 12 + 10 }, String(row + 1)),
      at > before && svg("rect", { class: "gap", x: x(before), y: row * 12 + 2, width: Math.max(0.5, x(at) - x(before)), height: 8 }),
      svg("rect", { class: "server", x: x(at), y: row * 12 + 2, width: Math.max(1.5, took / total * 690), height: 8, rx: 1.5 },
        svg("title", null, `${time(took)}, ${time(at)} after the first`))];
  });
  parts.push(svg("text", { x: 90, y: height - 6 }, "0"), svg("text", { x: 780, y: height - 6, "text-anchor": "end" }, time(total)));
  const servers = times.reduce((sum, [, took]) => sum + took, 0);
  return h("div", { class: "card" }, h("h2", null, `One request: ${times.length} statements one after the other in ${time(total)}`),
    svg("svg", { class: "water", viewBox: `0 0 800 ${height}`, role: "img", "aria-label": `${times.length} statements in ${time(total)}` }, parts),
    h("p", { class: "quiet" }, `As they were sent${times.length >= 32 ? ", the first 32" : ""}: ${time(servers)} of the server (blue), the rest on the way and in the application (orange). As one query it would be one of these lines.`));
}

// An average request of a sequence, where no times are known: how many lookups there are and how long they
// and the times between them take together.
function average(one) {
  const trips = one.cost.round_trips;
  if (one.class !== "sequence" || !one.parent_query || !(trips > 1) || !one.count) return null;
  const each = Math.max(1, Math.round(trips / one.count));
  const server = one.cost.server_ms / trips;
  const gap = one.cost.client_gap_ms / trips;
  const step = server + gap;
  const total = step * (each + 1);
  if (!(total > 0)) return null;
  const drawn = Math.min(each, 30);
  const height = 12 * (drawn + 2) + 26;
  const x = (ms) => 120 + ms / total * 660;
  const bar = (row, from, ms, kind) => svg("rect", { class: kind, x: x(from), y: row * 12 + 2, width: Math.max(1.5, ms / total * 660), height: 8, rx: 1.5 });
  const parts = [svg("text", { x: 0, y: 10 }, "query before"), bar(0, 0, server, "parent")];
  for (let at = 0; at < drawn; at += 1) {
    // The last one drawn is the last one that there is.
    const number = at === drawn - 1 ? each : at + 1;
    const from = number * step - gap;
    parts.push(svg("text", { x: 0, y: (at + 1) * 12 + 10 }, (at === drawn - 1 && each > drawn ? "… " : "") + "lookup " + number),
      bar(at + 1, from, gap, "gap"), bar(at + 1, from + gap, server, "server"));
  }
  parts.push(svg("text", { x: 0, y: (drawn + 1) * 12 + 10 }, "as one query"), bar(drawn + 1, 0, server * 2 + gap, "saved"),
    svg("text", { x: 120, y: height - 6 }, "0"), svg("text", { x: 780, y: height - 6, "text-anchor": "end" }, time(total * 1e3)));
  return h("div", { class: "card" }, h("h2", null, `An average request: ${each} lookups one after the other`),
    svg("svg", { class: "water", viewBox: `0 0 800 ${height}`, role: "img", "aria-label": `${each} lookups in ${time(total * 1e3)}` }, parts),
    h("p", { class: "quiet" }, `Drawn from averages over ${many(one.count, "time")}: ${time(server * 1e3)} of the server (blue) and ${time(gap * 1e3)} in between (orange) for each lookup.`));
}

// --- firewall, audit, configuration ----------------------------------------------------------------

const firewall = {
  path: "firewall", name: "Firewall",
  load: async (api) => { const [profiles, unknown] = await Promise.all([api("/firewall"), api("/firewall/unknown?limit=100")]); return { profiles, unknown }; },
  draw: ({ profiles, unknown }, state) => [h("h1", null, "Firewall"),
    h("div", { class: "card" }, table([{ key: "name", name: "profile" }, { key: "mode", cell: (r) => badge(r.mode) }, { key: "database" }, { key: "user" }, { key: "network" },
      { key: "entries", name: "known", num: true }, { key: "unknown", num: true, bad: (r) => r.unknown > 0 }, { key: "stretched", num: true }, { key: "refused", num: true, bad: (r) => r.refused > 0 }], profiles.rows), shown(profiles, "profiles are configured")),
    h("div", { class: "card" }, h("h2", null, "Statements that it did not know"), table([{ key: "profile" }, { key: "query", name: "statement", wide: true, cell: (r) => query(r.query) }, { key: "count", name: "times", num: true }, { key: "shape", cell: (r) => h("code", null, r.shape) },
      ...(state.operator ? [{ key: "allow", name: "", cell: (r) => h("button", { type: "button", onclick: () => state.act("allow", { profile: r.profile, shape: r.shape }, `ALLOW for ${r.profile}: ${r.query}`) }, "Allow") }] : [])], unknown.rows), shown(unknown, "unknown statements"))],
};

const audit = {
  path: "audit", name: "Audit",
  load: (api, parts, state) => {
    if (!state.session.user || !state.session.audit) return Promise.resolve({ rows: [], total: 0 });
    return listed("/audit", null)(api, parts, state);
  },
  draw: (answer, state) => {
    const head = h("h1", null, "Audit trail");
    if (!state.session.audit) return [head, h("div", { class: "card" }, h("p", { class: "note" }, "There is none: ", h("code", null, "audit_file"), " is not set."))];
    if (!state.session.user) return [head, h("div", { class: "card" }, h("p", { class: "note" }, "It is for users who have logged in. ", h("a", { href: "login" }, "Log in")))];
    return [head, filter(state, [["event", "event"], ["db", "database"], ["user", "user"], ["app", "application"], ["client", "address"], ["sqlstate", "SQLSTATE"]]),
      h("div", { class: "card" }, table([
        { key: "at", cell: (r) => h("span", { title: r.at }, (r.at ?? "").slice(11, 23)) },
        { key: "event", cell: (r) => badge(r.event) },
        { key: "app", name: "application", cell: (r) => [r.app || "–", sub([r.user, r.db].filter(Boolean).join(", "))] },
        { key: "client", name: "from", cell: (r) => r.client },
        { key: "query", name: "statement", wide: true, cell: (r) => r.query ? query(r.query) : r.command ? [h("strong", null, r.command.toUpperCase()), " ", r.asked, r.reason && sub(r.reason)] : r.reason },
        { key: "server_us", name: "server time", num: true, cell: (r) => r.server_us === null ? "" : time(r.server_us) },
        { key: "wait_us", name: "waited", num: true, cell: (r) => r.wait_us === null ? "" : time(r.wait_us) },
        { key: "rows", num: true },
        { key: "sqlstate", name: "SQLSTATE", bad: (r) => r.sqlstate },
        { key: "findings", sort: false, cell: (r) => (r.findings ?? []).map((one) => [badge(one), " "]) },
      ], answer.rows, state.sort, state.resort), shown(answer, "lines at its end that fit"))];
  },
};

const config = {
  path: "config", name: "Configuration",
  load: (api) => api("/config?limit=1000"),
  draw: (answer, state) => {
    const changed = (r) => r.value !== r.default;
    // Zero is "off" for most.
    const unit = (r, value) => r.unit && /^[0-9.]*[1-9][0-9.]*$/.test(value ?? "") ? value + " " + r.unit : value ?? "";
    const only = state.changed ?? true;
    const rows = answer.rows.filter((r) => (!only || changed(r)) && r.key.includes(state.search ?? ""));
    return [h("h1", null, "Configuration"),
      h("div", { class: "bar" },
        h("label", null, h("input", { type: "checkbox", checked: only, "data-keep": "changed", onchange: (event) => { state.changed = event.target.checked; state.redraw(); } }), "only what differs from the default"),
        h("label", null, "key", h("input", { type: "search", value: state.search ?? "", "data-keep": "search", oninput: (event) => { state.search = event.target.value; state.redraw(); } })),
        h("span", { class: "grow" }), state.operator && h("button", { type: "button", onclick: () => state.act("reload", {}, "RELOAD") }, "RELOAD")),
      h("div", { class: "card" }, table([
        { key: "key", cell: (r) => h("code", null, r.key) },
        { key: "value", wide: true, cell: (r) => [changed(r) && [badge("changed"), " "], h("code", null, unit(r, r.value))] },
        { key: "default", wide: true, cell: (r) => h("code", { class: "quiet" }, unit(r, r.default)) },
        { key: "changeable", name: "reload applies it", cell: (r) => r.changeable },
      ], rows, null, null, (r) => changed(r) && "changed"), h("p", { class: "quiet" }, `${rows.length} of ${answer.total} settings`))];
  },
};

// --- overview -----------------------------------------------------------------------------------------------

function tile(name, value, more, bad) {
  return h("div", { class: bad ? "tile bad" : "tile" }, h("div", { class: "name" }, name), h("div", { class: "value" }, value), h("div", { class: "more" }, more ?? ""));
}

// 95 % large, since that is what users complain of; the others below.
function quantiles(name, point, of, bad) {
  const [half, most, nearly] = ["p50", "p95", "p99"].map((share) => took(point[`${of}_${share}_us`]));
  return tile(name + ", 95 %", most, [h("span", { class: "whole" }, "median " + half + ","), " ", h("span", { class: "whole" }, "99 % " + nearly)], bad);
}

const overview = {
  path: "overview", name: "Overview",
  load: async (api) => {
    const [statements, findings] = await Promise.all([api("/statements?sort=-server_us&limit=6"), api("/findings?sort=-server_us&limit=6&status=open")]);
    return { statements, findings };
  },
  draw: ({ statements, findings }, state) => {
    const now = state.seen;
    if (!now) return h("p", { class: "note" }, "Waiting for the first numbers …");
    const point = now.now ?? {};
    const size = now.pools.reduce((sum, pool) => sum + pool.pool_size, 0);
    const share = now.pool_count > now.pools.length ? "" : `of ${size} at most`;
    return [h("h1", { class: "skip" }, "Overview"),
      h("div", { class: "tiles" },
        tile("Clients waiting", count(now.cl_waiting), now.cl_waiting ? "the first for " + time(now.maxwait_us) : "nobody waits", now.maxwait_us >= 5e4 && now.cl_waiting > 0),
        tile("Servers in use", count(now.sv_active), share),
        tile("Transactions / s", count(point.xact_count), count(point.query_count) + " queries / s"),
        quantiles("Query", point, "query"),
        quantiles("Transaction", point, "xact"),
        quantiles("Wait", point, "wait", point.wait_p95_us >= 5e4),
        tile("Errors / s", count(point.errors), point.failed ? count(point.failed) + " server logins failed / s" : "from pgweir to clients", point.errors > 0 || point.failed > 0),
        tile("Client connections", count(now.connected), "of " + count(now.max_client_conn))),
      state.plots.element(),
      h("div", { class: "card" }, h("h2", null, "Pools that want attention", link(["pools"], `all ${now.pool_count}`)), now.pools.length ? poolTable(now.pools.slice(0, 8)) : h("p", { class: "note" }, "No pool yet: nobody has connected.")),
      now.cluster.length > 0 && h("div", { class: "card" }, h("h2", null, "Clusters", link(["servers"], "servers")), clusterTable(now.cluster.slice(0, 12))),
      h("div", { class: "cards" },
        h("div", { class: "card" }, h("h2", null, "Statements that take the most time", link(["statements"], `all ${statements.total}`)), statements.rows.length ? statementTable(statements.rows, null, null, true) : h("p", { class: "note" }, "None yet.")),
        h("div", { class: "card" }, h("h2", null, "Findings that cost the most", link(["findings"], `all ${findings.total}`)), findings.rows.length ? findingTable(findings.rows, null, null, true) : h("p", { class: "note" }, "None.")))];
  },
};

export const VIEWS = [overview, pools, servers, clients, locks, statements, findings, audit, firewall, mirrors, config];
