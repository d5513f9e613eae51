// The timeline of one exchange: each moment in a line, with a bar for the time since the one before. A table, drawn.

import { fill, h } from "../parts/dom.js";
import { duration, moment } from "../parts/format.js";
import { missing } from "../parts/marks.js";

const MOMENTS = {
  accepted: ["accepted", "the last byte of the request was read", "gateway"],
  row_begun: ["row begun", "the ledger has the row, so the call may go out", "gateway"],
  routed: ["routed", "the upstream was chosen", "gateway"],
  connected: ["connected", "a connection to the upstream was ready", "gateway"],
  headers: ["headers", "the upstream answered", "waiting"],
  first_byte: ["first byte", "the first byte of the answer", "waiting"],
  first_content: ["first token", "the first text, reasoning or tool argument", "prefill"],
  last_content: ["last token", "the last text, reasoning or tool argument", "answer"],
  usage: ["usage", "the upstream's final numbers", "closing"],
  end_marker: ["end marker", "the answer's own end", "closing"],
  ended: ["row committed", "the row was closed, for good", "closing"],
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

/** Return the moments in order of time, the attempts among them; one without a time stays behind its neighbour. */
function momentsOf({ request, attempts, timeline }) {
  const found = timeline.map(({ moment: name, ms }) => {
    const [title, meaning, kind] = MOMENTS[name] ?? [name.replaceAll("_", " "), "", "waiting"];
    return { title, meaning, kind, ms };
  });
  for (const attempt of attempts) {
    const at = attempt.started_at === null ? null : (attempt.started_at - request.started_at) / 1000;
    const title = attempt.n === 1 ? "routed" : `try ${attempt.n} begun`;
    const kind = attempt.n === 1 ? "gateway" : "waiting";
    insert(found, { title, meaning: `the try at ${attempt.upstream} began`, kind, ms: at });
  }
  return withUnkept(found, timeline);
}

/** The ledger keeps no time of these two; their place in the order is known all the same. */
function withUnkept(found, timeline) {
  const told = new Set(timeline.map(({ moment: name }) => name));
  for (const [name, next] of [["connected", "headers"], ["usage", "end marker"]]) {
    const [title, meaning, kind] = MOMENTS[name];
    const place = found.findIndex((each) => each.title === next);
    if (!told.has(name) && place !== -1) {
      found.splice(place, 0, { title, meaning, kind, ms: null, reason: "the ledger keeps no time of it" });
    }
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

function lineOf({ title, meaning, kind, ms, reason: why }, before, end, row) {
  const gap = ms === null ? null : ms - before;
  const tip = ms === null ? null : moment(row.started_at + ms * 1000);
  return h(
    "tr",
    { class: ms === null ? "faded" : null },
    h("th", { scope: "row", title: meaning }, title),
    h("td", { class: "num", title: tip }, ms === null ? missing(why ?? reason(title, row)) : duration(ms)),
    h("td", { class: "num dim" }, gap === null || gap <= 0 ? "" : `+${duration(gap)}`),
    h("td", { class: "track" }, ms === null ? h("div", { class: "lane" }) : bar(before, ms, end, kind)),
  );
}

function bar(from, to, end, kind) {
  const left = (100 * Math.min(from, to)) / end;
  const width = Math.max(0, (100 * (to - from)) / end);
  return h("div", { class: "lane", "aria-hidden": "true" }, h("i", { class: `span span-${kind}`, style: { left: `${left}%`, width: `${width}%` } }), h("i", { class: "tick", style: { left: `${(100 * to) / end}%` } }));
}

function reason(title, row) {
  if (row.status === "in_flight") {
    return "it has not come to that yet";
  }
  if (row.status === "rejected") {
    return "refused here: no upstream was called";
  }
  return row.streaming ? `no ${title} came` : `no ${title}: the answer came whole`;
}
