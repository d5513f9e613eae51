// Charts by uPlot, each with a sentence for those who cannot see it and a table with the same numbers.

import uPlot from "../../vendor/uplot/uPlot.esm.js";
import { h } from "./dom.js";
import { duration } from "./format.js";
import { table } from "./table.js";

const FONT_PX = 11;

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** Return the colour of a series by its place; after eight they repeat. */
export function seriesColour(at) {
  return colour(`series-${(at % 8) + 1}`);
}

/**
 * Return a figure. `summary` says in a sentence what the chart shows; `draw(width)` returns {options, data} for uPlot;
 * `twin` is {columns, rows}. It is drawn again when its width or the colours change, until `signal` ends it.
 */
export function figure({ summary, height = 200, draw, twin, legend = null, signal, caption = null }) {
  const canvas = h("div", { class: "chart-canvas", "aria-hidden": "true", style: { height: `${height}px` } });
  let plot = null;
  const redraw = () => {
    plot?.destroy();
    plot = null;
    if (canvas.clientWidth > 0) {
      const { options, data } = draw(canvas.clientWidth, height);
      plot = new uPlot({ width: canvas.clientWidth, height, ...options }, data, canvas);
    }
  };
  const observer = new ResizeObserver(([entry]) => {
    if (plot === null || Math.abs(entry.contentRect.width - plot.width) > 1) {
      redraw();
    }
  });
  observer.observe(canvas);
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", redraw, { signal });
  signal.addEventListener("abort", () => {
    observer.disconnect();
    plot?.destroy();
  });
  return h(
    "figure",
    { class: "chart", role: "group", "aria-label": summary },
    caption === null ? null : h("figcaption", null, caption),
    canvas,
    legend === null ? null : legendOf(legend),
    twinOf(summary, twin),
  );
}

function legendOf(names) {
  return h(
    "ul",
    { class: "legend" },
    names.map((name, at) => h("li", { title: name }, h("i", { class: `swatch swatch-${(at % 8) + 1}` }), name)),
  );
}

/** Return the table behind a chart, folded. */
export function twinOf(summary, { columns, rows }) {
  return h("details", { class: "twin" }, h("summary", null, "Table"), table({ label: summary, columns, rows }));
}

/** Return an axis in the page's type and colours. */
export function axis(more = {}) {
  return {
    stroke: colour("ink-3"),
    font: `${FONT_PX}px ${getComputedStyle(document.body).fontFamily}`,
    grid: { stroke: colour("line"), width: 1 },
    ticks: { show: false },
    size: 28,
    ...more,
  };
}

/** Return the marks 1, 2 and 5 of each power of ten: places on a logarithmic axis. */
export function oneTwoFive(low, high) {
  const marks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    marks.push(...[1, 2, 5].map((digit) => digit * 10 ** power));
  }
  return marks.filter((mark) => mark >= low * 0.999 && mark <= high * 1.001);
}

const STEPS_MS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 3e4, 6e4, 12e4, 3e5, 6e5, 18e5, 36e5];

/** Return an axis of lengths of time, in steps that the labels can tell in full. */
export function durationAxis(more = {}) {
  return axis({ incrs: STEPS_MS, space: 72, values: (_, ticks) => ticks.map((tick) => duration(tick)), ...more });
}

/** Return an axis of things that are counted: no marks between two of them. */
export function countAxis(more = {}) {
  const incrs = Array.from({ length: 9 }, (_, power) => [1, 2, 5].map((digit) => digit * 10 ** power)).flat();
  return axis({ incrs, ...more });
}

/** Return thin bars, one a point, however near the points lie. */
export function needles(label, at, more = {}) {
  return { label, stroke: seriesColour(at), fill: seriesColour(at), width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.8, 4, 2] }), ...more };
}

/** Return a line series. */
export function line(label, at, more = {}) {
  return { label, stroke: seriesColour(at), width: 1.5, points: { show: false }, ...more };
}

/** What every chart here has in common. */
export const QUIET = { legend: { show: false }, cursor: { drag: { x: true, y: false }, points: { size: 6 } }, padding: [8, 24, 0, 0] };

/** Return data and series of bars that stand on each other: the last series is drawn first, as their sum. */
export function stacked(labels, columns, widest = 40) {
  const sums = columns.map((column) => [...column]);
  for (let at = 1; at < sums.length; at += 1) {
    sums[at] = sums[at].map((value, x) => value + sums[at - 1][x]);
  }
  const bars = uPlot.paths.bars({ size: [0.62, widest] });
  const series = sums.map((_, at) => ({ label: labels[at], fill: seriesColour(at), stroke: seriesColour(at), width: 0, paths: bars, points: { show: false } }));
  return { data: [...sums].reverse(), series: series.reverse() };
}
