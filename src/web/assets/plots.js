// Live plots over the history, drawn by uPlot.
import { h, count, time, took } from "./dom.js";

// Times of which nothing is known, as nothing happened, leave a hole.
const times = (of, name) => ({ name, show: time, tell: took, least: 100, keys: [[of + "_p50_us", "median"], [of + "_p95_us", "95 %"], [of + "_p99_us", "99 %"]] });

// Of all pools together and of one.
const PLOTS = [
  { name: "Throughput per second", show: count, keys: [["query_count", "queries"], ["xact_count", "transactions"]] },
  times("query", "Query"),
  times("xact", "Transaction"),
  { name: "Wait for a server", show: time, tell: took, least: 100, keys: [["wait_p95_us", "95 %"], ["wait_p99_us", "99 %"], ["maxwait_us", "longest now"]] },
  { name: "Clients", show: count, keys: [["cl_active", "not waiting"], ["cl_waiting", "waiting"]] },
  { name: "Servers", show: count, keys: [["sv_active", "in use"], ["sv_idle", "idle"]] },
  times("connect", "Connecting to a server"),
  { name: "Errors per second", show: count, keys: [["errors", "to clients"], ["failed", "server logins"]] },
];

// Points between holes, which no line shows.
function alone(chart, line) {
  const values = chart.data[line];
  const found = [];
  for (let at = 0; at < values.length; at += 1) {
    if (values[at] !== null && (values[at - 1] ?? null) === null && (values[at + 1] ?? null) === null) found.push(at);
  }
  return found.length ? found : null;
}

// Points farther apart are not joined, in seconds.
const GAP = 25;

export class Plots {
  // `often`: how far apart points are, in words.
  constructor(often) {
    this.often = often;
    this.points = [];
    this.span = 300;
    this.drawn = [];
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.dark.addEventListener("change", () => this.draw());
    this.sizes = new ResizeObserver(() => this.resize());
  }

  begin(points) {
    this.points = points;
    if (this.drawn.length > 0) this.refresh();
    else this.draw();
  }

  push(point) {
    const last = this.points[this.points.length - 1];
    if (!point || (last && point.at <= last.at)) return;
    this.points.push(point);
    if (this.points.length > 900) this.points.shift();
    if (!this.frozen) this.refresh();
  }

  // The element that holds all plots. It is made once and moved into the overview.
  element() {
    if (this.root) return this.root;
    const spans = [[60, "1 min"], [300, "5 min"], [900, "15 min"], [1e9, "all"]].map(([span, name]) =>
      h("button", { type: "button", "aria-pressed": String(span === this.span), onclick: (event) => {
        this.span = span;
        for (const one of event.target.parentNode.children) one.setAttribute("aria-pressed", String(one === event.target));
        this.refresh();
      } }, name));
    this.grid = h("div", { class: "plots" });
    this.root = h("section", { "aria-label": "Plots" }, h("div", { class: "bar", role: "group", "aria-label": "Time span" }, spans, h("span", { class: "quiet" }, [this.often, "times in UTC"].filter(Boolean).join(", "))), this.grid);
    this.draw();
    return this.root;
  }

  data(plot) {
    const since = Date.now() / 1e3 - this.span;
    const times = [];
    const lines = plot.keys.map(() => []);
    let last = null;
    for (const point of this.points) {
      if (point.at < since) continue;
      if (last !== null && point.at - last > GAP) {
        times.push(last + 1);
        for (const line of lines) line.push(null);
      }
      times.push(point.at);
      plot.keys.forEach(([key], at) => lines[at].push(point[key] ?? null));
      last = point.at;
    }
    return [times, ...lines];
  }

  draw() {
    if (!this.grid) return;
    for (const one of this.drawn) one.chart?.destroy();
    this.sizes.disconnect();
    const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const colors = ["--one", "--two", "--three"].map(color);
    const axis = { stroke: color("--quiet"), grid: { stroke: color("--grid"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    this.drawn = PLOTS.map((plot) => {
      const values = plot.keys.map(() => h("b", null, "–"));
      const keys = plot.keys.map(([, name], at) => h("span", null, h("i", { class: "key" + at }), name + " ", values[at]));
      const canvas = h("div", { class: "canvas", role: "img" });
      const card = h("div", { class: "card plot" }, h("h2", null, plot.name), h("div", { class: "keys" }, keys), canvas);
      return { plot, card, canvas, values, shown: null };
    });
    this.grid.replaceChildren(...this.drawn.map((one) => one.card));
    for (const one of this.drawn) {
      const options = {
        width: 320, height: 150,
        cursor: { sync: { key: "pgweir" }, drag: { x: false, y: false }, points: { size: 6 } },
        legend: { show: false },
        scales: { x: { time: true }, y: { range: (_, low, high) => [0, Math.max(high ?? 0, one.plot.least ?? 1) * 1.08] } },
        axes: [{ ...axis, size: 26, space: 70, values: (_, splits) => splits.map((at) => new Date(at * 1e3).toISOString().slice(11, 19)) }, { ...axis, size: 58, space: 34, values: (_, splits) => splits.map((n) => one.plot.show(n)) }],
        series: [{}, ...one.plot.keys.map((_, at) => ({ stroke: colors[at], width: 1.75, points: { show: false, filter: alone, size: 4 }, fill: one.plot.keys.length < 3 && at === 0 ? colors[at] + "22" : undefined }))],
        hooks: { setCursor: [(chart) => this.tell(one, chart.cursor.idx)] },
      };
      one.chart = new uPlot(options, this.data(one.plot), one.canvas);
      this.sizes.observe(one.canvas);
    }
    this.refresh();
    this.resize();
  }

  resize() {
    for (const one of this.drawn) {
      const width = one.canvas.clientWidth;
      if (width > 0 && Math.abs(width - one.chart.width) > 1) one.chart.setSize({ width, height: 150 });
    }
  }

  refresh() {
    for (const one of this.drawn) {
      one.chart?.setData(this.data(one.plot));
      this.tell(one, one.chart?.cursor.idx);
    }
  }

  // Values beside the names: at the cursor, else the newest.
  tell(one, at) {
    if (!one.chart) return;
    const data = one.chart.data;
    const index = at ?? data[0].length - 1;
    const shown = one.plot.keys.map((_, line) => (one.plot.tell ?? one.plot.show)(data[line + 1][index] ?? null));
    shown.forEach((text, line) => { one.values[line].textContent = text; });
    one.canvas.setAttribute("aria-label", one.plot.name + ": " + one.plot.keys.map(([, name], line) => name + " " + shown[line]).join(", "));
  }
}
