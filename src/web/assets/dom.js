// Elements from data. Texts only ever become text nodes: what stands in a query, an application name or
// an error is whatever somebody sent.

export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  add(element, children);
  return element;
}

export function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes ?? {})) element.setAttribute(name, value);
  add(element, children);
  return element;
}

function add(element, children) {
  for (const child of children.flat(9)) {
    if (child === null || child === undefined || child === false || child === "") continue;
    element.append(child);
  }
}

// A link within the page. Parts come from data, so each is escaped.
export function link(parts, ...children) {
  return h("a", { href: "#" + parts.map(encodeURIComponent).join("/") }, ...children);
}

export function badge(word, more) {
  return h("span", { class: "badge " + String(word).replace(/[^a-z_-]/gi, ""), title: more }, String(word));
}

// A bar of this share, from 0 to 1.
export function meter(share) {
  const width = Math.max(0, Math.min(1, share || 0)) * 90;
  return svg("svg", { class: share >= 1 ? "meter full" : "meter", viewBox: "0 0 90 9", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { width, height: 9 }));
}

// --- numbers for people ---------------------------------------------------------------------------

export function count(n) {
  if (n === null || n === undefined) return "–";
  if (Math.abs(n) >= 1e9) return (n / 1e9).toFixed(1) + " G";
  if (Math.abs(n) >= 1e6) return (n / 1e6).toFixed(1) + " M";
  if (Math.abs(n) >= 1e4) return (n / 1e3).toFixed(1) + " k";
  return Number.isInteger(n) ? String(n) : n.toFixed(n < 10 ? 2 : 1);
}

// A number of things, whose plural ends with an s unless it is told.
export function many(n, one, more) {
  return count(n) + " " + (n === 1 ? one : more ?? one + "s");
}

export function bytes(n) {
  if (n === null || n === undefined) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  while (Math.abs(n) >= 1000 && at < units.length - 1) { n /= 1000; at += 1; }
  return (at === 0 ? n : n.toFixed(1)) + " " + units[at];
}

export function time(us) {
  if (us === null || us === undefined) return "–";
  if (us === 0) return "0";
  if (us < 1e3) return Math.round(us) + " µs";
  if (us < 1e6) return (us / 1e3).toFixed(us < 1e5 ? 1 : 0) + " ms";
  if (us < 120e6) return (us / 1e6).toFixed(us < 10e6 ? 2 : 1) + " s";
  if (us < 7200e6) return Math.round(us / 60e6) + " min";
  if (us < 172800e6) return (us / 3600e6).toFixed(1) + " h";
  return Math.round(us / 86400e6) + " days";
}

// A quantile of a histogram, whose first step is 100 µs: below it nothing is known.
export const took = (us) => us !== null && us !== undefined && us <= 100 ? "≤ 100 µs" : time(us);

// How long ago a time of the API was.
export function ago(text) {
  if (!text) return "–";
  const then = Date.parse(text.replace(" UTC", "Z").replace(" ", "T"));
  if (Number.isNaN(then)) return text;
  const us = Math.max(0, Date.now() - then) * 1e3;
  return us < 1e6 ? "now" : time(Math.round(us / 1e6) * 1e6).replace(/\.0+ s/, " s") + " ago";
}

// --- tables -----------------------------------------------------------------------------------------

// Columns: { key, name, num, wide, cell(row), bad(row), sort }. `sorted` is [key, down]; `resort` is called
// with a new one.
export function table(columns, rows, sorted, resort, bad) {
  const head = columns.map((column) => {
    const is = sorted && sorted[0] === column.key;
    const arrow = is ? (sorted[1] ? " ▾" : " ▴") : "";
    const title = column.name ?? column.key;
    const label = resort && column.sort !== false
      ? h("button", { type: "button", "data-keep": "sort-" + column.key, onclick: () => resort([column.key, is ? !sorted[1] : Boolean(column.num)]) }, title + arrow)
      : title;
    return h("th", { class: column.num && "num", scope: "col", "aria-sort": is && (sorted[1] ? "descending" : "ascending") }, label);
  });
  const body = rows.map((row) => h("tr", { class: bad?.(row) || null }, columns.map((column) => {
    const value = column.cell ? column.cell(row) : row[column.key];
    const kind = [column.num && "num", column.wide && "wide", column.bad?.(row) && "bad"].filter(Boolean).join(" ");
    const shown = value === null || value === undefined ? "" : value;
    return h("td", { class: kind || null, "data-name": column.name ?? column.key }, typeof shown === "number" ? String(shown) : shown);
  })));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "table" },
    h("table", { class: "stack" }, h("thead", null, h("tr", null, head)), h("tbody", null, body)));
}

// SQL with one place marked. `span` is of the API's finding.
export function sql(text, span) {
  const at = span?.text ? place(text, span) : -1;
  if (at < 0) return h("pre", null, text);
  const end = at + span.text.length;
  return h("pre", null, text.slice(0, at), h("mark", null, text.slice(at, end)), text.slice(end));
}

// Where the marked text stands: constants were taken out, so the column only says which one is meant.
function place(text, span) {
  let best = -1;
  let distance = Infinity;
  const lines = text.split("\n");
  const before = lines.slice(0, Math.max(0, span.line - 1)).reduce((sum, line) => sum + line.length + 1, 0);
  const wanted = Math.min(text.length, before + span.col - 1);
  for (let at = text.indexOf(span.text); at >= 0; at = text.indexOf(span.text, at + 1)) {
    if (Math.abs(at - wanted) < distance) { best = at; distance = Math.abs(at - wanted); }
  }
  return best;
}
