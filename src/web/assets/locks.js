// Who waits for whose lock.
import { h, badge, time, table } from "./dom.js";
import { listed, shown, filter, sub, query } from "./lists.js";

// Somebody who waits or is in the way: as a client of pgweir, else as a process of the server.
const somebody = (client, pid, app, user) => [
  client ? `client ${client}` : pid ? `process ${pid}` : "prepared transaction",
  sub([app, user].filter(Boolean).join(", ") || (client ? "no name" : "")), client || !pid ? null : sub("not through pgweir")];
// What the holder of a lock does, and since when.
const holding = (r) => r.blocker_state ? [badge(r.blocker_state), r.blocker_state_ms !== null && sub("for " + time(r.blocker_state_ms * 1e3))] : "unknown";
const open = (r) => r.blocker_transaction_ms === null ? "" : time(r.blocker_transaction_ms * 1e3);

// Those whom others wait for and who wait for nobody, with how many do.
function heads(rows) {
  const all = new Map();
  for (const row of rows) {
    if (row.head_pid === null) continue;
    const head = all.get(row.head_pid) ?? { ...row, blocker_pid: row.head_pid, blocker_client: null, blocker_user: "", blocker_application: "", blocker_state: "", blocker_state_ms: null, blocker_transaction_ms: null, blocker_query: "", behind: 0, longest: 0 };
    // Only who stands right behind it says more of it than its number.
    if (row.blocker_pid === row.head_pid) Object.assign(head, Object.fromEntries(Object.entries(row).filter(([name]) => name.startsWith("blocker_"))));
    head.behind += 1;
    head.longest = Math.max(head.longest, row.waiting_ms);
    all.set(row.head_pid, head);
  }
  return [...all.values()].sort((one, other) => other.behind - one.behind);
}

export const locks = {
  path: "locks", name: "Locks",
  load: listed("/locks", ["waiting_ms", true]),
  draw: (answer, state) => {
    state.sort ??= ["waiting_ms", true];
    const first = [
      { key: "who", name: "in the way", cell: (r) => somebody(r.blocker_client, r.blocker_pid, r.blocker_application, r.blocker_user) },
      { key: "database" },
      { key: "behind", name: "clients behind it", num: true, bad: () => true },
      { key: "longest", name: "the first waits", num: true, cell: (r) => time(r.longest * 1e3) },
      { key: "does", name: "does now", cell: holding },
      { key: "open", name: "in transaction", num: true, cell: open },
      { key: "query", name: "its last statement", wide: true, cell: (r) => r.blocker_query && query(r.blocker_query) },
      state.operator && { key: "kill", name: "", cell: (r) => r.blocker_client !== null && h("button", { type: "button",
        onclick: () => state.act("kill_client", { client: r.blocker_client }, `KILL_CLIENT ${r.blocker_client} (${r.blocker_application || r.blocker_user})`) }, "Kill") },
    ].filter(Boolean);
    const columns = [
      { key: "client", name: "waits", cell: (r) => somebody(r.client, r.pid, r.application_name, r.user) },
      { key: "database" },
      { key: "waiting_ms", name: "since", num: true, cell: (r) => time(r.waiting_ms * 1e3), bad: (r) => r.waiting_ms >= 5e3 },
      { key: "relation", name: "for", cell: (r) => [r.relation || "–", sub([r.lock, r.mode].filter(Boolean).join(", "))] },
      { key: "query", name: "its statement", wide: true, cell: (r) => query(r.query) },
      { key: "blocker_pid", name: "in its way", cell: (r) => r.blocker_pid === null ? "unknown" : somebody(r.blocker_client, r.blocker_pid, r.blocker_application, r.blocker_user) },
      { key: "blocker_state", name: "which does", cell: (r) => r.blocker_pid === null ? "" : holding(r) },
      { key: "blocker_transaction_ms", name: "in transaction", num: true, cell: open },
    ];
    const none = h("p", { class: "note" }, "Nobody waits for a lock. Whoever has waited for a second (", h("code", null, "lint.rules.lock-contention.min_ms"), ") is shown here; it takes ", h("code", null, "advisor"), " and ", h("code", null, "lint"), " on.");
    const foremost = heads(answer.rows);
    return [h("h1", null, "Locks"), filter(state, [["database", "database"], ["user", "user"], ["application_name", "application"]]),
      foremost.length > 0 && h("div", { class: "card" }, h("h2", null, "At the head: whom the others wait for"), table(first, foremost)),
      h("div", { class: "card" }, h("h2", null, "Clients that wait for a lock"), answer.rows.length ? [table(columns, answer.rows, state.sort, state.resort), shown(answer, "waits")] : none)];
  },
};
