// Sessions: conversations by their id, the one heard of last first.

import { read } from "../parts/api.js";
import { fill, h } from "../parts/dom.js";
import { client, shortId } from "../parts/fields.js";
import { searchField } from "../parts/filters.js";
import { count, recent } from "../parts/format.js";
import { missing, orDash, state } from "../parts/marks.js";
import { here, sessionPath, setFilters } from "../parts/place.js";
import * as sums from "../parts/sums.js";
import { table } from "../parts/table.js";

const TOO_LONG = "too long to add up here: open it";

const ofSums = (show) => (row) => (row.sums === null ? missing(TOO_LONG) : show(row.sums));

const COLUMNS = [
  { title: "Session", head: true, cell: (row) => h("a", { href: sessionPath(row.session_id) }, shortId(row.session_id, 22)) },
  { title: "Last request", cell: (row) => recent(row.last_started_at) },
  { title: "Now", cell: (row) => (row.in_flight.length > 0 ? state("streaming", `${row.in_flight.length} in flight`) : state(row.status)) },
  { title: "Client", cell: client },
  { title: "Model", cell: (row) => orDash(row.model, "the last request named none") },
  { title: "Upstream", cell: (row) => orDash(row.upstream, "the last request reached none") },
  { title: "Turns", num: true, cell: (row) => count(row.turns) },
  { title: "Read", num: true, cell: ofSums((group) => sums.exact(group.input)) },
  { title: "Written", num: true, cell: ofSums((group) => sums.exact(group.output)) },
  { title: "Estimated", num: true, cell: ofSums((group) => sums.estimated(group.output)), hint: "written tokens that are no exact numbers" },
  { title: "Cache hits", num: true, cell: ofSums(sums.cacheHits), hint: "share of the tokens read" },
  { title: "Cost, exact", num: true, cell: ofSums((group) => [sums.costs(group), " ", sums.unpriced(group)]) },
  { title: "Cost, estimated", num: true, cell: ofSums((group) => sums.costs(group, "estimated")) },
];

async function open({ root, signal }) {
  const list = h("div");
  const pages = h("div", { class: "pages" });
  fill(root, h("div", { class: "screen-head" }, h("h1", null, "Sessions"), h("span", { class: "grow" }), searchField("q", "Filter this page  /", "Filter sessions")), list, pages);
  let shown = null;
  async function draw() {
    const query = here().query;
    const after = query.get("after");
    if (shown === null || shown.after !== after) {
      shown = { after, page: await read("/sessions", { after, limit: 50 }, signal) };
    }
    const { page } = shown;
    const wanted = (query.get("q") ?? "").toLowerCase();
    const rows = page.sessions.filter((row) => [row.session_id, row.client_app, row.key_label, row.model, row.upstream].join("\n").toLowerCase().includes(wanted));
    fill(list, table({ label: "Sessions", columns: COLUMNS, rows, opens: (row) => sessionPath(row.session_id), empty: ["No session is known.", "Clients name one with x-streamgauge-session; Claude Code does so by itself."] }));
    fill(
      pages,
      h("button", { type: "button", "data-key": "p", disabled: after === null, on: { click: () => setFilters({ after: null }, true) } }, "Newest ", h("kbd", null, "p")),
      h("button", { type: "button", "data-key": "n", disabled: page.next === null, on: { click: () => setFilters({ after: page.next }, true) } }, "Older ", h("kbd", null, "n")),
    );
  }
  await draw();
  return { filtered: draw };
}

export const sessions = { name: "sessions", title: () => "Sessions", open };
