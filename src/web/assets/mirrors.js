// Databases that run what others ran.
import { h, link, count, bytes, time, table } from "./dom.js";
import { listed, sub } from "./lists.js";

// How many transactions could be compared.
const compared = (r) => r.same + r.rows_differ + r.errors_differ;
// How much longer or shorter the mirror takes; a tenth is nothing to speak of.
function pace(r) {
  if (!r.avg_us || !r.mirror_avg_us) return "";
  const ratio = r.mirror_avg_us / r.avg_us;
  if (ratio > 0.9 && ratio < 1.1) return sub("about as fast");
  return sub(ratio >= 1 ? `takes ${ratio.toFixed(1)} times as long` : `${(1 / ratio).toFixed(1)} times as fast`);
}

// `last` begins with the shape of the statement where it is about one.
function difference(r) {
  const [, shape, rest] = /^([0-9a-f]{16}): (.*)$/.exec(r.last ?? "") ?? [];
  if (!shape) return r.last || "none";
  return [link(["statements", shape, r.database], h("code", null, shape)), sub(rest.replace(/ here$/, " on the mirror"))];
}

export const mirrors = {
  path: "mirrors", name: "Mirrors",
  load: listed("/mirrors", null),
  draw: (answer, state) => [h("h1", null, "Mirrors"),
    h("div", { class: "card" }, answer.rows.length ? [table([
      { key: "database", name: "database", cell: (r) => [r.database, sub("played to " + (r.mirror || "nothing any more"))] },
      { key: "compared", name: "compared", num: true, sort: false, cell: (r) => [count(compared(r)), sub(compared(r) ? (Math.floor(r.same / compared(r) * 1e3) / 10) + " % the same" : "")] },
      { key: "rows_differ", name: "other row counts", num: true, cell: (r) => count(r.rows_differ), bad: (r) => r.rows_differ > 0 },
      { key: "errors_differ", name: "other errors", num: true, cell: (r) => count(r.errors_differ), bad: (r) => r.errors_differ > 0 },
      { key: "failed", name: "not played", num: true, cell: (r) => count(r.failed), bad: (r) => r.failed > 0 },
      { key: "dropped", name: "dropped", num: true, cell: (r) => count(r.dropped), bad: (r) => r.dropped > 0 },
      { key: "passed_over", name: "passed over", num: true, cell: (r) => count(r.passed_over) },
      { key: "waiting_bytes", name: "queue", num: true, cell: (r) => bytes(r.waiting_bytes) },
      { key: "avg_us", name: "average here", num: true, cell: (r) => time(r.avg_us) },
      { key: "mirror_avg_us", name: "on the mirror", num: true, cell: (r) => [time(r.mirror_avg_us), pace(r)] },
      { key: "last", name: "last difference", wide: true, sort: false, cell: difference },
    ], answer.rows, state.sort, state.resort),
    h("p", { class: "quiet" }, "Transactions since the start. Those that are passed over cannot be played again as they were (COPY, named portals, what stays in the session); those that came when the queue was full are dropped. No client waits for a mirror.")]
      : h("p", { class: "note" }, "No database is mirrored: ", h("code", null, "mirror = \"other\""), " in ", h("code", null, "[databases.NAME]"), " plays its transactions to another one and compares."))],
};
