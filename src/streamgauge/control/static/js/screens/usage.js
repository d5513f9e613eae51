// Usage and cost by group and day, from the roll-ups: exact, estimated and unpriced apart, each currency for itself.

import { read } from "../parts/api.js";
import { fill, h } from "../parts/dom.js";
import { globOf, rangeOptions, selectField, sinceOf } from "../parts/filters.js";
import { count } from "../parts/format.js";
import { missing } from "../parts/marks.js";
import { here, sessionPath } from "../parts/place.js";
import { namerOf } from "../parts/groups.js";
import * as sums from "../parts/sums.js";
import { panel, table } from "../parts/table.js";
import { budgetTable } from "./budgets.js";
import { METRICS, overTime } from "./usage_chart.js";

const GROUPS = [["model", "model"], ["upstream", "upstream"], ["key", "key"], ["session", "session"], ["app", "client app"], ["status", "status"], ["day", "day"], ["hour", "hour"]];
const TIMELY = new Set(["model", "upstream", "key", "app", "status"]);
const DAY_US = 86_400_000_000;
const HOURLY_BELOW_US = 3 * DAY_US;
const MOST_HOURS_US = 14 * DAY_US - DAY_US / 12;

async function open({ root, signal }) {
  const chart = h("div");
  const list = h("div");
  const budgets = h("div");
  fill(
    root,
    h("div", { class: "screen-head" }, h("h1", null, "Usage and cost"), h("span", { class: "grow" }), selectors()),
    chart,
    list,
    budgets,
  );
  async function load() {
    const query = here().query;
    const by = query.get("by") ?? "model";
    const since = sinceOf(query, "7d");
    const page = await read("/usage", { by, ...(by === "hour" ? twoWeeks(since) : { since }) }, signal);
    fill(list, panel(`By ${nameOf(by)}`, groupTable(page, by), scopeOf(page), true));
    fill(chart, await timePanel(by, since, query.get("metric") ?? "output", signal));
    fill(budgets, await budgetPanel(signal));
  }
  await load();
  return { filtered: load };
}

/** By hour the API goes back two weeks at most. */
function twoWeeks(since) {
  const now = Date.now() * 1000;
  return { since: Math.max(since ?? 0, now - MOST_HOURS_US), until: now };
}

function selectors() {
  return h("div", { class: "filters" }, selectField("by", "By", GROUPS), selectField("metric", "Chart", METRICS.map(({ name, title }) => [name, title])), selectField("range", "Ended", rangeOptions("7d")));
}

function nameOf(by) {
  return GROUPS.find(([name]) => name === by)?.[1] ?? by;
}

function scopeOf(page) {
  return page.complete ? "whole hours, UTC" : "the sessions seen last; there may be more";
}

async function timePanel(by, since, metric, signal) {
  const grain = since !== null && Date.now() * 1000 - since <= HOURLY_BELOW_US ? "hour" : "day";
  const split = TIMELY.has(by) ? by : "model";
  const range = grain === "hour" ? twoWeeks(since) : { since };
  const page = await read("/usage", { by: [grain, split], ...range }, signal);
  return panel(`${METRICS.find(({ name }) => name === metric)?.title ?? metric} by ${grain} and ${nameOf(split)}`, overTime(page, grain, split, metric, signal));
}

async function budgetPanel(signal) {
  const { keys } = await read("/keys", {}, signal);
  const bars = budgetTable(keys);
  return bars === null ? null : panel("Budgets", bars, "of keys that have one; estimates count", true);
}

const LINKED = { model: "model", upstream: "upstream", key: "key", status: "status" };
const GLOBS = new Set(["model", "upstream"]);

function pathFor(by, { group }) {
  const value = group[by];
  if (value === null || value === undefined) {
    return null;
  }
  if (by === "session") {
    return sessionPath(value);
  }
  const wanted = GLOBS.has(by) ? globOf(value) : value;
  return by in LINKED && value !== "(other)" ? `/requests?${LINKED[by]}=${encodeURIComponent(wanted)}` : null;
}

function groupTable(page, by) {
  const called = namerOf(page.groups, by);
  const columns = [
    { title: nameOf(by), head: true, cell: ({ group }) => called(group) ?? missing(by === "key" ? "no key was shown" : "not named") },
    { title: "Exchanges", num: true, cell: (row) => count(row.exchanges) },
    { title: "Errors", num: true, cell: (row) => sums.failures(row) },
    { title: "Read, exact", num: true, cell: (row) => sums.exact(row.input), hint: "tokens, the provider's final numbers" },
    { title: "Written, exact", num: true, cell: (row) => sums.exact(row.output), hint: "tokens, the provider's final numbers" },
    { title: "Written, estimated", num: true, cell: (row) => sums.estimated(row.output), hint: "counted here, cut off, or from timings: never in an exact total" },
    { title: "No number", num: true, cell: (row) => (row.output.unknown ? sums.unknowns(row.output) : "0"), hint: "exchanges without a count of written tokens" },
    { title: "Cache hits", num: true, cell: (row) => sums.cacheHits(row), hint: "share of the tokens read" },
    { title: "Cost, exact", num: true, cell: (row) => sums.costs(row) },
    { title: "Cost, estimated", num: true, cell: (row) => sums.costs(row, "estimated") },
    { title: "Unpriced", num: true, cell: (row) => (row.unpriced ? sums.unpriced(row) : "0") },
  ];
  const foot = page.groups.length > 1 ? ["Total", ...columns.slice(1).map(({ cell }) => cell(page.total))] : null;
  const rows = by === "day" || by === "hour" ? page.groups : [...page.groups].sort((a, b) => b.exchanges - a.exchanges);
  return table({ label: `Usage by ${nameOf(by)}`, columns, rows, foot, opens: (row) => pathFor(by, row), empty: "No exchange ended in this time." });
}

export const usage = { name: "usage", title: () => "Usage and cost", open };
