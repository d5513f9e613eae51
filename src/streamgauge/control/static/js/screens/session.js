// One session: how its context grew, who cut whom, and its turns.

import { read } from "../parts/api.js";
import { QUIET, axis, countAxis, figure, line } from "../parts/chart.js";
import { fill, h } from "../parts/dom.js";
import * as field from "../parts/fields.js";
import { count, duration, short } from "../parts/format.js";
import { missing, orDash } from "../parts/marks.js";
import { sessionAt, sessionPath, withLastFilters } from "../parts/place.js";
import * as sums from "../parts/sums.js";
import { panel, table } from "../parts/table.js";

const COLUMNS = [
  { title: "Begun", cell: field.begun },
  { title: "Status", cell: field.status },
  { title: "Model", cell: field.models },
  { title: "In", num: true, cell: field.input },
  { title: "Cached", num: true, cell: field.cached },
  { title: "Out", num: true, cell: field.output },
  { title: "Source", cell: field.source },
  { title: "Context", cell: field.context },
  { title: "Cost", num: true, cell: field.price },
  { title: "TTFT", num: true, cell: field.ttft },
  { title: "Took", num: true, cell: field.took },
];

async function open({ root, signal, names: [name] }) {
  const id = sessionAt(name);
  const page = await read(sessionPath(id), {}, signal);
  fill(
    root,
    h("div", { class: "screen-head" }, h("h1", null, "Session"), h("span", { class: "mono dim" }, id), h("span", { class: "grow" }), h("a", { class: "button", href: `/requests?session=${encodeURIComponent(id)}` }, "As requests"), h("a", { class: "button", href: withLastFilters("/sessions"), "data-up": true }, "Back ", h("kbd", null, "Esc"))),
    strip(page),
    panel("Context by turn", growth(page.rows, signal)),
    page.supersedes.length === 0 ? null : panel("Superseded", cuts(page.supersedes), null, true),
    panel("Turns", turns(page.rows), page.rows.length < page.turns ? `the newest ${count(page.rows.length)} of ${count(page.turns)}` : null, true),
  );
}

function strip({ turns: number, sums: group }) {
  const cell = (name, value, more = null) => h("div", null, h("dt", null, name), h("dd", null, value, more === null ? null : h("small", null, more)));
  return h(
    "dl",
    { class: "strip" },
    cell("Turns", count(number), group === null ? null : `${count(group.failures)} failed`),
    ...(group === null
      ? []
      : [
          cell("Read, exact", sums.exact(group.input), sums.unknowns(group.input)),
          cell("Written, exact", sums.exact(group.output), group.output.estimated === null ? null : [sums.estimated(group.output), " estimated"]),
          cell("Cache hits", sums.cacheHits(group)),
          cell("Cost, exact", sums.costs(group), sums.estimatedCosts(group)),
          cell("Unpriced", count(group.unpriced)),
        ]),
  );
}

function growth(rows, signal) {
  const known = rows.filter((row) => row.context_used !== null);
  if (known.length < 2) {
    return h("p", { class: "dim" }, "Fewer than two turns told how much context they used.");
  }
  const size = known.at(-1).context_total;
  const turn = new Map(rows.map((row, at) => [row.id, at + 1]));
  const summary = `Context used by turn: from ${count(known[0].context_used)} to ${count(known.at(-1).context_used)} tokens over ${count(known.length)} turns${size === null ? "" : `, of ${count(size)}`}.`;
  const draw = () => ({
    data: [known.map((row) => turn.get(row.id)), known.map((row) => row.context_used), known.map((row) => row.cache_read_tokens)],
    options: {
      ...QUIET,
      scales: { x: { time: false }, y: { range: (_, low, high) => [0, high * 1.08] } },
      axes: [countAxis(), axis({ size: 50, values: (_, ticks) => ticks.map(short) })],
      series: [{}, line("context used", 0, { points: { show: true, size: 5 } }), line("from the cache", 1, { points: { show: true, size: 5 } })],
    },
  });
  const columns = [
    { title: "Turn", head: true, num: true, cell: (row) => turn.get(row.id) },
    { title: "Used", num: true, cell: (row) => count(row.context_used) },
    { title: "From the cache", num: true, cell: (row) => orDash(count(row.cache_read_tokens), "not stated") },
    { title: "Size", num: true, cell: (row) => orDash(count(row.context_total), "not known") },
  ];
  return figure({ summary, caption: summary, draw, height: 190, twin: { columns, rows: known }, legend: ["context used", "from the cache"], signal });
}

function cuts(supersedes) {
  const columns = [
    { title: "Cut", cell: ({ id }) => h("a", { href: `/requests/${encodeURIComponent(id)}` }, field.shortId(id, 20)) },
    { title: "By", cell: ({ by }) => (by === null ? missing("the newer one is not in the ledger") : h("a", { href: `/requests/${encodeURIComponent(by)}` }, field.shortId(by, 20))) },
    { title: "After the newer one began", num: true, cell: ({ ms }) => orDash(duration(ms), "not known") },
  ];
  return table({ label: "Superseded streams", columns, rows: supersedes });
}

function turns(rows) {
  return table({ label: "Turns", columns: COLUMNS, rows: [...rows].reverse(), opens: (row) => `/requests/${encodeURIComponent(row.id)}` });
}

export const session = { name: "session", title: (name) => `Session ${sessionAt(name)}`, open };
