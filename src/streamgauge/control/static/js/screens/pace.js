// How evenly one answer came: the gaps between its frames on a scale, and the stalls. The row has no more than these.

import { h, svg } from "../parts/dom.js";
import { count, duration, speed } from "../parts/format.js";
import { orDash, unit } from "../parts/marks.js";
import { facts, table } from "../parts/table.js";

/** At both sides there is room for the label of a mark that stands at the edge. */
const SIZE = { width: 600, height: 92, left: 84, right: 92, top: 36, base: 60 };
const LANE = 48;
const STALL_MS = 1000;
const MARKS = [["gap_p50_ms", "half"], ["gap_p95_ms", "95 %"], ["gap_max_ms", "longest"]];

/** Return the scale of the gaps with its table, and the speeds. */
export function pacePanel(row) {
  const known = MARKS.map(([name, label]) => ({ label, ms: row[name] })).filter(({ ms }) => ms !== null);
  return h("div", { class: "stack" }, known.length === 0 ? h("p", { class: "dim" }, nothing(row)) : scale(known, row), facts(speeds(row)));
}

function nothing(row) {
  return row.streaming ? "No gaps: fewer than two frames with content came." : "The answer came whole, so it has no pace.";
}

function speeds(row) {
  const pair = (tps, ms) => (row[tps] === null && row[ms] === null ? null : [orDash(speed(row[tps]), "not known"), unit("tok/s"), "  ", row[ms] === null ? "" : `over ${duration(row[ms])}`]);
  return [
    ["Reading the prompt", pair("prompt_tps", "prompt_ms")],
    ["Writing", pair("generation_tps", "generation_ms")],
    ["Stalls over 1 s", row.stalls === null ? null : row.stalls === 0 ? "none" : h("span", { class: "badge warn" }, `▲ ${count(row.stalls)}`)],
  ];
}

function scale(known, row) {
  const summary = `Gaps between frames: ${known.map(({ label, ms }) => `${label} ${duration(ms)}`).join(", ")}; stalls over one second: ${count(row.stalls) ?? "not known"}.`;
  const columns = [
    { title: "Gap", head: true, cell: ({ label }) => label },
    { title: "Length", num: true, cell: ({ ms }) => duration(ms) },
  ];
  return h(
    "figure",
    { class: "chart", role: "group", "aria-label": summary },
    h("div", { class: "scrolls" }, drawing(known)),
    h("details", { class: "twin" }, h("summary", null, "Table"), table({ label: summary, columns, rows: known })),
  );
}

/** A logarithmic scale from the shortest to the longest: gaps spread over three powers of ten and more. */
function drawing(known) {
  const values = known.map(({ ms }) => Math.max(ms, 0.1));
  const low = Math.log10(Math.min(...values, 1) / 1.6);
  const high = Math.log10(Math.max(...values, STALL_MS) * 2);
  const x = (ms) => SIZE.left + ((Math.log10(Math.max(ms, 0.1)) - low) / (high - low)) * (SIZE.width - SIZE.left - SIZE.right);
  const [first, last] = [x(values[0]), x(values.at(-1))];
  return svg(
    "svg",
    { class: "gaps", viewBox: `0 0 ${SIZE.width} ${SIZE.height}`, "aria-hidden": "true" },
    svg("rect", { class: "stall-zone", x: x(STALL_MS), y: SIZE.top, width: SIZE.width - SIZE.right - x(STALL_MS), height: SIZE.base - SIZE.top }),
    decades(low, high, x),
    svg("line", { class: "gap-span", x1: first, x2: last, y1: LANE, y2: LANE }),
    known.map(({ label, ms }, at) => mark(label, ms, x(ms), at)),
    svg("text", { class: "gap-note", x: SIZE.width - SIZE.right, y: SIZE.top - 6, "text-anchor": "end" }, "stall"),
  );
}

function decades(low, high, x) {
  const ticks = [];
  for (let power = Math.ceil(low); power <= high; power += 1) {
    const ms = 10 ** power;
    ticks.push(svg("line", { class: "gap-grid", x1: x(ms), x2: x(ms), y1: SIZE.top, y2: SIZE.base }));
    ticks.push(svg("text", { class: "gap-axis", x: x(ms), y: SIZE.base + 14, "text-anchor": "middle" }, ms < 1000 ? `${ms} ms` : `${ms / 1000} s`));
  }
  return ticks;
}

/** The three lie close together as a rule: the first is named at its left, the last at its right, the middle above. */
const NAMED = [
  { dx: -9, y: 52, anchor: "end" },
  { dx: 0, y: 26, anchor: "middle" },
  { dx: 9, y: 52, anchor: "start" },
];

function mark(label, ms, at, place) {
  const { dx, y, anchor } = NAMED[place];
  return [
    svg("circle", { class: `gap-mark gap-mark-${place}`, cx: at, cy: LANE, r: 4.5 }, svg("title", null, `${label}: ${duration(ms)}`)),
    svg("text", { class: "gap-label", x: at + dx, y, "text-anchor": anchor }, label, svg("tspan", { class: "gap-value", dx: 4 }, duration(ms))),
  ];
}
