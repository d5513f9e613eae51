// The timeline of one exchange: each moment in a line, with a bar for the time since the one before. A table, drawn.

import { fill, h } from "../parts/dom.js";
import { duration, moment } from "../parts/format.js";
import { missing } from "../parts/marks.js";

const MOMENTS = {
  accepted: ["accepted", "the last byte of the request was read", "gateway"],
  row_begun: ["row begun", "the ledger has the row, so the call may go out", "gateway"],
  routed: ["routed", "the upstream was chosen", "gateway"],
  connected: ["connected", "a connection to the upstream was ready, or a kept one was taken", "gateway"],
  headers: ["headers", "the upstream answered", "waiting"],
  first_byte: ["first byte", "the first byte of the answer", "waiting"],
  first_content: ["first token", "the first text, reasoning or tool argument", "prefill"],
  last_content: ["last token", "the last text, reasoning or tool argument", "answer"],
  usage: ["usage", "the upstream last stated counts or timings", "closing"],
  end_marker: ["end marker", "the answer's own end", "closing"],
  ended: ["row committed", "the row was closed, for good", "closing"],
};

const STATED = new Set(["provider", "running", "timings"]);

/** Why a moment is missing, where it is not that none came. Rows of before schema 5 lack these times. */
const UNKNOWN = {
  connected: (row) => (row.latency_ms === null ? "no connection was had" : "the row is older than this time"),
  usage: (row) => ([row.usage_source, row.input_source].some((source) => STATED.has(source)) ? "the row is older than this time" : "the upstream stated none"),
};

/** Return the table; moments that are not known stand in their place with a dash. */
export function waterfall(page) {
  const row = page.request;
  const moments = momentsOf(page);
  const end = Math.max(1, ...moments.filter(({ ms }) => ms !== null).map(({ ms }) => ms));
  let before = 0;
  const lines = moments.map((each) => {
    const line = lineOf(each, before, end, row);
    before = each.ms === null ? before : Math.max(before, each.ms);
    return line;
  });
  const titles = [["Moment"], ["At", true], ["Since the last", true], [""]];
  return h(
    "table",
    { class: "waterfall", "aria-label": "Timeline" },
    h("thead", null, h("tr", null, titles.map(([title, num]) => h("th", { scope: "col", class: num ? "num" : null }, title)))),
    fill(h("tbody"), lines),
  );
}

/** Return the moments in order of time as the API has them, each later attempt among them: the first one is the routing's. */
function momentsOf({ request, attempts, timeline }) {
  const found = timeline.map(({ moment: name, ms }) => {
    const [title, meaning, kind] = MOMENTS[name] ?? [name.replaceAll("_", " "), "", "waiting"];
    return { name, title, meaning, kind, ms };
  });
  for (const { n, upstream, started_at: began } of attempts.slice(1)) {
    const ms = began === null ? null : (began - request.started_at) / 1000;
    insert(found, { name: "try", title: `try ${n} begun`, meaning: `the try at ${upstream} began`, kind: "waiting", ms });
  }
  return found;
}

function insert(moments, added) {
  if (added.ms === null) {
    return;
  }
  const place = moments.findIndex(({ ms }) => ms !== null && ms > added.ms);
  moments.splice(place === -1 ? moments.length : place, 0, added);
}

function lineOf({ name, title, meaning, kind, ms }, before, end, row) {
  const gap = ms === null ? null : ms - before;
  const tip = ms === null ? null : moment(row.started_at + ms * 1000);
  return h(
    "tr",
    { class: ms === null ? "faded" : null },
    h("th", { scope: "row", title: meaning }, title),
    h("td", { class: "num", title: tip }, ms === null ? missing(reason(name, title, row)) : duration(ms)),
    h("td", { class: "num dim" }, gap === null || gap <= 0 ? "" : `+${duration(gap)}`),
    h("td", { class: "track" }, ms === null ? h("div", { class: "lane" }) : bar(before, ms, end, kind)),
  );
}

function bar(from, to, end, kind) {
  const left = (100 * Math.min(from, to)) / end;
  const width = Math.max(0, (100 * (to - from)) / end);
  return h("div", { class: "lane", "aria-hidden": "true" }, h("i", { class: `span span-${kind}`, style: { left: `${left}%`, width: `${width}%` } }), h("i", { class: "tick", style: { left: `${(100 * to) / end}%` } }));
}

function reason(name, title, row) {
  if (row.status === "in_flight") {
    return "it has not come to that yet";
  }
  if (row.status === "rejected") {
    return "refused here: no upstream was called";
  }
  if (name in UNKNOWN) {
    return UNKNOWN[name](row);
  }
  return row.streaming ? `no ${title} came` : `no ${title}: the answer came whole`;
}
