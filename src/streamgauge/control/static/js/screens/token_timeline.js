// The frames of one captured answer over time: how many so far, the gap before each, and the stalls among the gaps.

import { QUIET, countAxis, durationAxis, figure, line, needles } from "../parts/chart.js";
import { counted, duration } from "../parts/format.js";

const SHOWN = 1000;
const STALL_US = 1_000_000;

/** A length is read from zero: half as long is half as high. */
function fromZero(_plot, _low, high) {
  return [0, high * 1.06];
}

/** Return the figure: how many frames had come by when, and the gap before each, on a scale of its own. */
export function tokenTimeline(frames, signal) {
  const start = frames[0].t;
  const x = frames.map(({ t }) => (t - start) / 1000);
  const total = frames.map(({ seq }) => seq);
  const gaps = frames.map(({ dt }) => (dt === null ? null : dt / 1000));
  const stalls = frames.filter(({ dt }) => dt > STALL_US).length;
  const longest = Math.max(...gaps.filter((gap) => gap !== null));
  const draw = () => ({
    data: [x, total, gaps],
    options: {
      ...QUIET,
      scales: { x: { time: false }, y: { range: fromZero }, gap: { range: fromZero } },
      axes: [durationAxis(), countAxis({ scale: "y", size: 44 }), durationAxis({ scale: "gap", side: 1, size: 62, space: 30, grid: { show: false } })],
      series: [{}, line("frames", 0), needles("gap", 1, { scale: "gap" })],
    },
  });
  const columns = [
    { title: "Frame", num: true, head: true, cell: ({ seq }) => seq },
    { title: "At", num: true, cell: ({ t }) => duration((t - start) / 1000) },
    { title: "Gap", num: true, cell: ({ dt }) => (dt === null ? "" : duration(dt / 1000)) },
  ];
  const summary = `${counted(frames.length, "frame")} in ${duration(x.at(-1))}; longest gap ${duration(longest)}; ${stalls === 0 ? "no stall" : counted(stalls, "stall")} over one second.`;
  return figure({ summary, caption: summary, height: 220, draw, legend: ["frames so far", "gap before each"], twin: { columns, rows: frames.slice(0, SHOWN) }, signal });
}
