// Bars of usage over time, stacked by group: the seven largest and the rest. It adds up nothing but that rest.

import { QUIET, axis, figure, stacked } from "../parts/chart.js";
import { h } from "../parts/dom.js";
import { count, money, short } from "../parts/format.js";
import { namerOf, timeName } from "../parts/groups.js";

const SHOWN = 7;
const HOUR_S = 3600;

const whole = (sum) => (sum === null || sum === undefined ? 0 : (sum.exact ?? 0));

export const METRICS = [
  { name: "output", title: "Tokens written, exact", value: (group) => whole(group.output), show: count },
  { name: "input", title: "Tokens read, exact", value: (group) => whole(group.input), show: count },
  { name: "estimated", title: "Tokens written, estimated", value: (group) => group.output.estimated ?? 0, show: count },
  { name: "cost", title: "Cost, exact", value: null, show: money },
  { name: "exchanges", title: "Exchanges", value: (group) => group.exchanges, show: count },
  { name: "unpriced", title: "Unpriced exchanges", value: (group) => group.unpriced, show: count },
];

/** Return the figure, or one for each currency when money is asked for. */
export function overTime(page, grain, split, metricName, signal) {
  const metric = METRICS.find(({ name }) => name === metricName) ?? METRICS[0];
  if (metric.value !== null) {
    return chart(page, grain, split, metric, "", signal);
  }
  const currencies = Object.keys(page.total.costs).filter((currency) => page.total.costs[currency].exact !== null);
  if (currencies.length === 0) {
    return h("p", { class: "dim" }, "Nothing in this time has a price and the provider's numbers.");
  }
  return currencies.map((currency) => chart(page, grain, split, { ...metric, value: (group) => group.costs[currency]?.exact_nano ?? 0 }, currency, signal));
}

function chart(page, grain, split, metric, unitName, signal) {
  const { times, names, columns } = arranged(page.groups, grain, split, metric.value);
  if (times.length === 0) {
    return h("p", { class: "dim" }, "No exchange ended in this time.");
  }
  const totals = names.map((name, at) => ({ name, total: columns[at].reduce((sum, each) => sum + each, 0) }));
  const said = totals.map(({ name, total }) => `${name} ${metric.show(total)}`).join(", ");
  const summary = `${metric.title}${unitName === "" ? "" : ` in ${unitName}`} by ${grain}: ${said}.`;
  const draw = () => {
    const { data, series } = stacked(names, columns);
    return {
      data: [times, ...data],
      options: {
        ...QUIET,
        scales: { x: { time: false, range: (_, low, high) => (isPart(low, high, times) ? [low, high] : span(page, times, grain)) }, y: { range: (_, low, high) => [0, Math.max(high * 1.06, 1)] } },
        axes: [axis({ splits: (plot, _axis, low, high) => timeMarks(low, high, plot.width, grain), values: (_, marks) => marks.map((mark) => timeMark(mark, grain)) }), axis({ size: 56, values: (_, ticks) => ticks.map((tick) => (unitName === "" ? short(tick) : money(tick))) })],
        series: [{}, ...series],
      },
    };
  };
  const twin = {
    columns: [{ title: grain, head: true, cell: (at) => timeName(times[at] * 1e6) }, ...names.map((name, series) => ({ title: name, num: true, cell: (at) => metric.show(columns[series][at]) }))],
    rows: times.map((_, at) => at),
  };
  return figure({ summary, caption: unitName === "" ? null : unitName, draw, height: 210, legend: names, twin, signal });
}

const STEPS = { hour: [1, 2, 3, 6, 12, 24, 48], day: [24, 48, 168, 336, 672, 2016] };
const MARK_PX = 62;

/** Return the times to name below the bars: as many as there is room for, all of them beginnings in UTC. */
function timeMarks(low, high, width, grain) {
  const room = Math.max(2, Math.floor(width / MARK_PX));
  const hours = STEPS[grain].find((step) => (high - low) / (step * HOUR_S) <= room) ?? STEPS[grain].at(-1);
  const step = hours * HOUR_S;
  const marks = [];
  for (let at = Math.ceil(low / step) * step; at <= high; at += step) {
    marks.push(at);
  }
  return marks;
}

function timeMark(at, grain) {
  const text = new Date(at * 1000).toISOString();
  return grain === "day" || text.slice(11, 16) === "00:00" ? text.slice(5, 10) : text.slice(11, 16);
}

/** Whether a person drew a part of the chart, to see it larger. Of a single time uPlot makes up bounds years apart. */
function isPart(low, high, times) {
  return low > times[0] || high < times.at(-1);
}

/** The whole range that was asked for, so that quiet times show; without one, what there is. */
function span(page, times, grain) {
  const step = grain === "hour" ? HOUR_S : 24 * HOUR_S;
  const first = page.since === null ? times[0] : Math.min(times[0], page.since / 1e6 + step);
  return [first - step / 1.5, Math.max(times.at(-1), Math.floor(Date.now() / 1000 / step) * step) + step / 1.5];
}

function seconds(value) {
  return typeof value === "number" ? value / 1e6 : Date.parse(/T|Z/.test(value) ? value : `${value}T00:00:00Z`) / 1000;
}

/** Return times, names and a column of numbers for each name; what is beyond the largest is one more. */
function arranged(groups, grain, split, value) {
  const totals = new Map();
  const nameOf = namerOf(groups, split);
  for (const group of groups) {
    const name = nameOf(group.group) ?? "not named";
    totals.set(name, (totals.get(name) ?? 0) + value(group));
  }
  const ranked = [...totals].filter(([, total]) => total > 0).sort((a, b) => b[1] - a[1]).map(([name]) => name);
  const kept = ranked.slice(0, SHOWN);
  const names = ranked.length > SHOWN ? [...kept, `${ranked.length - SHOWN} others`] : kept;
  const times = [...new Set(groups.map(({ group }) => seconds(group[grain])))].sort((a, b) => a - b);
  const row = new Map(times.map((time, at) => [time, at]));
  const columns = names.map(() => times.map(() => 0));
  for (const group of groups) {
    const name = nameOf(group.group) ?? "not named";
    const at = kept.indexOf(name) === -1 ? names.length - 1 : kept.indexOf(name);
    if (names.length > 0 && totals.get(name) > 0) {
      columns[at][row.get(seconds(group.group[grain]))] += value(group);
    }
  }
  return { times, names, columns };
}
