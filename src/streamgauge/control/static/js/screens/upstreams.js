// Upstreams and their models: how each is, why, how fast it answers.

import { read } from "../parts/api.js";
import { QUIET, axis, figure, line, oneTwoFive } from "../parts/chart.js";
import { fill, h } from "../parts/dom.js";
import { selectField } from "../parts/filters.js";
import { count, counted, duration, short, speed } from "../parts/format.js";
import { missing, orDash, state, unit } from "../parts/marks.js";
import { here } from "../parts/place.js";
import { failures } from "../parts/sums.js";
import { facts, panel } from "../parts/table.js";
import { upstreamActions } from "./upstream_actions.js";

const HOURS = [["24", "last 24 h"], ["1", "last hour"], ["168", "last 7 days"], ["720", "last 30 days"]];
const QUANTILES = ["p50", "p95", "p99"];
const DRAINED = "Drained by an admin: no new call begins here until it is enabled, its own settings change, or the gateway restarts.";
const SLOTTED = new Set(["llamacpp", "sim"]);
const HOUR_US = 3_600_000_000;

async function open({ root, signal, feed }) {
  const cards = h("div", { class: "cards" });
  const chart = h("div");
  fill(root, h("div", { class: "screen-head" }, h("h1", null, "Upstreams"), h("span", { class: "grow" }), selectField("hours", "Times of", HOURS)), cards, chart);
  async function load() {
    const hours = here().query.get("hours") ?? "24";
    const since = Date.now() * 1000 - Number(hours) * HOUR_US;
    const [page, times] = await Promise.all([read("/upstreams", { hours }, signal), read("/times", { metric: "ttft_ms", by: "upstream", since }, signal)]);
    fill(cards, page.upstreams.map((upstream) => card(upstream, load)));
    fill(chart, panel("Time to the first token, by upstream", distribution(times, signal)));
  }
  await load();
  let first = true;
  feed.on("health", () => (first ? (first = false) : load()), signal);
  return { filtered: load };
}

function card(upstream, reload) {
  return h(
    "section",
    { class: "panel card", "aria-label": `Upstream ${upstream.name}` },
    h("header", null, h("h2", null, upstream.name), state(upstream.health, upstream.reason), upstream.drained ? state("drained", DRAINED) : null, h("span", { class: "aside" }, upstreamActions(upstream, reload))),
    h(
      "div",
      { class: "body stack" },
      upstream.drained ? h("p", { class: "notice" }, DRAINED) : null,
      upstream.reason === null ? null : h("p", { class: upstream.health === "unhealthy" ? "notice bad" : "notice" }, upstream.reason),
      facts([
        ["Kind", upstream.kind],
        ["Address", h("span", { class: "mono" }, upstream.base_url)],
        ["Circuit", [state(upstream.circuit), upstream.usable ? null : h("span", { class: "badge bad" }, "✗ not usable")]],
        ["In flight", count(upstream.in_flight)],
        ["Slots", slots(upstream)],
        [h("span", { title: "in flight too: their clients have left, and they are read on for their usage" }, "Drains"), readOn(upstream)],
        ["Last error", orDash(upstream.last_error, "no call and no probe has failed since the start")],
        ["Models", models(upstream)],
        ["Context", contextSizes(upstream)],
      ]),
      speeds(upstream),
      h("p", null, h("a", { href: `/requests?upstream=${encodeURIComponent(upstream.name)}` }, "Its requests")),
    ),
  );
}

/** A server with slots lets further calls wait; what it told of them last. */
function slots({ kind, slots: known }) {
  if (known === null) {
    return missing(SLOTTED.has(kind) ? "it has not told them, or not been asked yet" : "only llama.cpp has them");
  }
  return [count(known), h("span", { class: "dim" }, ", further calls wait there")];
}

function readOn({ drains, most_drains: most }) {
  return [count(drains), h("span", { class: "dim" }, ` of at most ${count(most)}`)];
}

function models({ models: names }) {
  if (names.length === 0) {
    return missing("it lists none");
  }
  const shown = names.slice(0, 12).map((name) => h("span", null, name));
  return h("span", { class: "models" }, shown, names.length > 12 ? h("span", { class: "dim", title: names.slice(12).join("\n") }, `and ${names.length - 12} more`) : null);
}

/** A context belongs to a model, or to the server whatever the model. */
function contextSizes({ contexts }) {
  const known = contexts.filter(({ tokens }) => tokens !== null);
  if (known.length === 0) {
    return missing("it has not told it, or not been asked yet");
  }
  return known.map(({ model, tokens }) => h("div", null, count(tokens), unit("tokens"), model === null ? null : h("span", { class: "dim" }, ` for ${model}`)));
}

function speeds(upstream) {
  const none = "no exchange in this time told it";
  const line = (name, found, show, unitName) =>
    h("tr", null, h("th", { scope: "row" }, name), QUANTILES.map((quantile) => h("td", { class: "num" }, orDash(found === null ? null : show(found[quantile] ?? found[`${quantile}_ms`]), none), found === null ? null : unit(unitName))), h("td", { class: "num dim" }, found === null ? "" : short(found.sample ?? found.exchanges)));
  const titles = ["", "p50", "p95", "p99", "of"];
  return [
    h("p", { class: "dim" }, `${counted(upstream.exchanges, "exchange")}, errors `, failures(upstream)),
    h("div", { class: "scrolls" }, h(
      "table",
      { class: "quantiles", "aria-label": `Times and speeds of ${upstream.name}` },
      h("thead", null, h("tr", null, titles.map((title, at) => h("th", { scope: "col", class: at > 0 ? "num" : null }, title)))),
      h("tbody", null, line("First token", upstream.ttft_ms, duration, ""), line("Whole stream", upstream.stream_duration_ms, duration, ""), line("Writing", upstream.generation_tps, speed, "tok/s"), line("Reading the prompt", upstream.prompt_tps, speed, "tok/s")),
    )),
  ];
}

/** Draw each upstream's share of exchanges that had their first token by then: the whole distribution, no averages. */
function distribution({ bounds_ms: bounds, groups }, signal) {
  const known = groups.filter(({ exchanges }) => exchanges > 0);
  if (known.length === 0) {
    return h("p", { class: "dim" }, "No stream in this time.");
  }
  const names = known.map(({ group }) => group.upstream ?? "none");
  const [first, last] = edges(known, bounds.length);
  const marks = bounds.slice(first, last + 1);
  const reached = known.map(({ counts, exchanges }) => {
    let sum = counts.slice(0, first).reduce((total, each) => total + each, 0);
    return marks.map((_, at) => {
      sum += counts[first + at];
      return (100 * sum) / exchanges;
    });
  });
  const summary = known.map(({ group, p50_ms: p50, p95_ms: p95, exchanges }) => `${group.upstream ?? "none"}: half within ${duration(p50)}, 95 % within ${duration(p95)}, of ${count(exchanges)}`).join("; ");
  const draw = () => ({
    data: [marks, ...reached],
    options: {
      ...QUIET,
      scales: { x: { time: false, distr: 3 }, y: { range: [0, 102] } },
      axes: [axis({ splits: (_plot, _axis, low, high) => oneTwoFive(low, high), filter: (_, splits) => splits, values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : duration(tick))) }), axis({ size: 46, values: (_, ticks) => ticks.map((tick) => `${tick} %`) })],
      series: [{}, ...names.map((name, at) => line(name, at))],
    },
  });
  const columns = [
    { title: "Upstream", head: true, cell: ({ group }) => group.upstream ?? missing("none was called") },
    { title: "Streams", num: true, cell: ({ exchanges }) => count(exchanges) },
    ...QUANTILES.map((name) => ({ title: name, num: true, cell: (row) => duration(row[`${name}_ms`]) })),
    { title: "Mean", num: true, cell: (row) => duration(row.mean_ms) },
  ];
  return figure({ summary: `Share of streams with their first token by a time. ${summary}.`, draw, height: 200, legend: names, twin: { columns, rows: known }, signal });
}

/** Return the first and last bound worth drawing. */
function edges(groups, size) {
  const used = Array.from({ length: size }, (_, at) => groups.some(({ counts }) => counts[at] > 0));
  const first = used.indexOf(true);
  return first === -1 ? [0, size - 1] : [Math.max(0, first - 1), Math.min(size - 1, used.lastIndexOf(true) + 1)];
}

export const upstreams = { name: "upstreams", title: () => "Upstreams", open };
