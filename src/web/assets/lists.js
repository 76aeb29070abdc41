// What the views of lists have in common.
import { h } from "./dom.js";

const LIMIT = 200;

// Loads a table of the API in the order and with the filters that were chosen.
export function listed(path, sort, more) {
  return (api, parts, state) => {
    const query = new URLSearchParams({ limit: String(state.limit ?? LIMIT) });
    const sorted = state.sort ?? sort;
    if (sorted) query.set("sort", (sorted[1] ? "-" : "") + sorted[0]);
    for (const [name, value] of Object.entries(state.only ?? {})) if (value) query.append(name, value);
    return api(path + "?" + query + (more ?? ""));
  };
}

// What is said below a table: that it is empty, or not all.
export function shown(answer, what) {
  const { total, rows } = answer;
  if (rows.length === 0) return h("p", { class: "note" }, "No " + what + ".");
  if (rows.length < total) return h("p", { class: "quiet" }, `The first ${rows.length} of ${total} in this order.`);
  return null;
}

// Inputs that pick rows by the values of these fields.
export function filter(state, names) {
  state.only ??= {};
  const inputs = names.map(([key, name]) => h("label", null, name, h("input", {
    type: "search", size: "12", placeholder: "all", value: state.only[key] ?? "", "data-keep": "only-" + key, autocomplete: "off", spellcheck: "false",
    title: "An exact value; * at its end stands for any rest",
    onchange: (event) => { state.only[key] = event.target.value.trim(); state.again(); },
  })));
  return h("div", { class: "bar" }, inputs);
}

export const sub = (text) => h("span", { class: "sub" }, text);
export const query = (text) => h("code", { class: "sql", title: text }, text);
