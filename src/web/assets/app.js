// The page: which view is seen, what is asked for it and how often, the stream of events.
import { h, badge, time, ago } from "./dom.js";
import { Plots } from "./plots.js";
import { VIEWS } from "./views.js";

const BASE = "api/v1";
// Between two looks at a view, in milliseconds.
const EVERY = 2500;

const at = (id) => document.getElementById(id);
const plots = new Plots();
const states = new Map();
let seen = null;
let held = false;
let shown = null;
let turn = 0;

async function api(path) {
  const answer = await fetch(BASE + path, { headers: { accept: "application/json" } });
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.error ?? `the server answered ${answer.status}`);
  return body;
}

function toast(text, bad) {
  const note = h("div", { class: bad ? "toast bad" : "toast", role: "status" }, text);
  document.body.append(note);
  setTimeout(() => note.remove(), 6000);
}

// --- who looks, and what operators do ------------------------------------------------------------------

let session = { user: null, role: "viewer", audit: false };

async function who() {
  session = await api("/session");
  at("session").replaceChildren(session.user ? `${session.user} (${session.role})` : h("a", { href: "login" }, "Log in"));
}

async function act(name, body, what) {
  if (!confirm(what + "?")) return;
  try {
    const answer = await fetch(BASE + "/actions/" + name, {
      method: "POST", headers: { "content-type": "application/json", "x-pgweir": "1" }, body: JSON.stringify(body) });
    const told = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(told.error ?? `the server answered ${answer.status}`);
    toast([told.done, ...told.notices].join(": "));
  } catch (error) {
    toast(error.message, true);
  }
  load();
}

// --- what is seen ---------------------------------------------------------------------------------------

function route() {
  const parts = location.hash.slice(1).split("/").filter(Boolean).map((part) => { try { return decodeURIComponent(part); } catch { return part; } });
  const view = VIEWS.find((one) => one.path === parts[0]) ?? VIEWS[0];
  return { view, parts: parts.slice(1), key: parts.join("/") || VIEWS[0].path };
}

function stateOf({ view, key }) {
  if (!states.has(key)) {
    // Bounded: old pages of details are forgotten.
    if (states.size > 50) states.delete(states.keys().next().value);
    states.set(key, {});
  }
  const state = states.get(key);
  state.plots = plots;
  state.seen = seen;
  state.operator = session.role === "operator";
  state.session = session;
  state.act = act;
  state.again = () => load();
  state.redraw = () => draw();
  state.resort = (sort) => { state.sort = sort; load(); };
  return state;
}

function nav(current) {
  const problems = seen?.problems ?? [];
  at("nav").replaceChildren(...VIEWS.map((view) => {
    const own = problems.filter((problem) => problem.view.split("/")[0] === view.path);
    const worst = own.some((problem) => problem.severity === "critical") ? "critical" : "warn";
    return h("a", { href: "#" + view.path, "data-keep": "nav-" + view.path, "aria-current": view === current && "page" }, view.name,
      own.length > 0 && h("span", { class: "count " + worst, title: "problems" }, String(own.length)));
  }));
}

// Puts new content in place of the old; keyboard focus and what was typed stay.
function put(target, children) {
  const active = document.activeElement;
  const keep = active?.getAttribute?.("data-keep");
  const typed = keep && "value" in active && active.type !== "checkbox" ? [active.value, active.selectionStart, active.selectionEnd] : null;
  const inside = keep && target.contains(active);
  target.replaceChildren(...[children].flat(9).filter((child) => child !== null && child !== undefined && child !== false));
  if (!inside) return;
  const again = target.querySelector(`[data-keep="${CSS.escape(keep)}"]`);
  again?.focus({ preventScroll: true });
  if (again && typed) {
    again.value = typed[0];
    try { again.setSelectionRange(typed[1], typed[2]); } catch { /* not a text */ }
  }
}

// Somebody marks text to copy it: it must not vanish.
function selecting() {
  const selection = getSelection();
  return selection && !selection.isCollapsed && at("main").contains(selection.anchorNode);
}

function draw() {
  const now = route();
  if (!shown || shown.key !== now.key || selecting()) return;
  put(at("main"), [now.view.draw(shown.data, stateOf(now))].flat(9));
  at("main").dataset.view = now.key;
}

async function load(first) {
  const now = route();
  const mine = ++turn;
  try {
    const data = await now.view.load(api, now.parts, stateOf(now));
    if (mine !== turn) return;
    shown = { key: now.key, data };
    draw();
  } catch (error) {
    if (mine !== turn) return;
    if (first || shown?.key !== now.key) put(at("main"), [h("p", { class: "note error" }, error.message)]);
  }
}

function go() {
  const now = route();
  document.title = "pgweir: " + now.view.name;
  nav(now.view);
  // On a small screen only some names of views are seen at once.
  at("nav").querySelector("[aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
  if (shown?.key !== now.key) put(at("main"), [h("p", { class: "note" }, "Loading …")]);
  scrollTo(0, 0);
  load(true);
}

// --- what is wrong now ----------------------------------------------------------------------------------

const KINDS = { waiting: "waits", locks: "locked", no_primary: "no primary", server_login: "logins fail", finding: "costliest" };

function wrong() {
  const problems = seen.problems;
  const most = route().view === VIEWS[0] ? problems.length : 3;
  const items = problems.slice(0, most).map((problem) => h("li", { class: problem.severity },
    h("a", { href: "#" + problem.view.split("/").map(encodeURIComponent).join("/"), "data-keep": "problem-" + problem.kind + problem.subject },
      badge(KINDS[problem.kind] ?? problem.kind), h("strong", null, problem.subject), h("span", { class: "text" }, problem.text))));
  if (problems.length > most) items.push(h("li", null, h("a", { href: "#overview" }, `and ${problems.length - most} more`)));
  if (items.length === 0) items.push(h("li", { class: "fine" }, h("span", { class: "all" }, "Nothing is wrong: nobody waits, all servers answer, no open finding costs anything.")));
  // Only when it says something else, so that screen readers are not told each second.
  const said = JSON.stringify([problems, most]);
  if (wrong.said !== said) put(at("wrong"), [h("ul", { class: "problems" }, items)]);
  wrong.said = said;
}

function heard(overview) {
  plots.push(overview.now);
  if (held) return;
  seen = overview;
  at("version").textContent = overview.version;
  const state = overview.phase === "running" ? (overview.paused ? "paused" : "running") : overview.phase;
  at("process").textContent = `${state} · up for ${ago(overview.started).replace(" ago", "")} · ${overview.at.slice(11, 19)} UTC`;
  nav(route().view);
  wrong();
  if (route().view === VIEWS[0]) draw();
}

function status(word, kind) {
  at("live").textContent = word;
  at("live").className = "live " + kind;
}

// --- the stream, and asking where it is not to be had ------------------------------------------------

// Browsers have six connections for all tabs together, so one that nobody sees gives its own back.
let stream = null;
let polling = null;

function listen() {
  stream?.close();
  clearInterval(polling);
  polling = null;
  if (document.hidden) return status("asleep", "");
  stream = new EventSource(BASE + "/events");
  stream.addEventListener("overview", (event) => {
    clearInterval(polling);
    polling = null;
    if (!held) status("live", "on");
    heard(JSON.parse(event.data));
  });
  stream.onerror = () => {
    status("disconnected", "off");
    // Closed for good, as when too many listen.
    if (stream.readyState === EventSource.CLOSED && polling === null) {
      polling = setInterval(async () => {
        try {
          heard(await api("/overview"));
          if (!held) status("live, by asking", "on");
        } catch (error) {
          status(error.message, "off");
        }
      }, EVERY);
    }
  };
}

function hold(now) {
  held = now;
  plots.frozen = now;
  at("hold").textContent = now ? "Go on" : "Stop";
  at("hold").setAttribute("aria-pressed", String(now));
  status(now ? "stopped" : "live", now ? "" : "on");
  if (!now) { plots.refresh(); load(); }
}

at("hold").addEventListener("click", () => hold(!held));
document.addEventListener("visibilitychange", async () => {
  listen();
  if (document.hidden) return;
  // What happened meanwhile.
  const answer = await api("/history").catch(() => null);
  if (answer) plots.begin(answer.rows);
});
addEventListener("hashchange", go);
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA|BUTTON|A)$/.test(event.target.tagName)) return;
  if (event.key === " ") { event.preventDefault(); hold(!held); }
  const view = VIEWS["1234567890-".indexOf(event.key)];
  if (view) location.hash = view.path;
});
setInterval(() => { if (!held && !document.hidden) load(); }, EVERY);

api("/history").then((answer) => plots.begin(answer.rows)).catch(() => {});
who().catch(() => {}).finally(() => {
  listen();
  go();
});
