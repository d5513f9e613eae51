// Live: the streams of this moment and what has just ended. It shows the feed and asks for nothing but the first page.

import { read } from "../parts/api.js";
import { fill, h } from "../parts/dom.js";
import * as field from "../parts/fields.js";
import { searchField } from "../parts/filters.js";
import { here } from "../parts/place.js";
import { panel, table } from "../parts/table.js";
import { LiveTable } from "./live_table.js";
import { drawStrip } from "./strip.js";

const ENDED = 12;
const LOOKED_AT = 100;

const ENDED_COLUMNS = [
  { title: "Ended", cell: (row) => field.begun({ started_at: row.finished_at ?? row.started_at }) },
  { title: "Status", cell: field.status },
  { title: "Client", cell: field.client },
  { title: "Model", cell: field.models },
  { title: "Upstream", cell: (row) => row.upstream ?? field.finish(row) },
  { title: "In", num: true, cell: field.input },
  { title: "Out", num: true, cell: field.output },
  { title: "Source", cell: field.source },
  { title: "Cost", num: true, cell: field.price },
  { title: "TTFT", num: true, cell: field.ttft },
  { title: "Took", num: true, cell: field.took },
  { title: "tok/s", num: true, cell: field.pace },
];

async function open({ root, signal, feed }) {
  const strip = h("dl", { class: "strip", "aria-label": "Now" });
  const streams = new LiveTable();
  const newest = () => read("/requests", { limit: LOOKED_AT }, signal);
  const ended = new Ended(await newest());
  fill(
    root,
    h("div", { class: "screen-head" }, h("h1", null, "Live"), h("span", { class: "grow" }), searchField("q", "Filter streams  /", "Filter streams")),
    strip,
    streams.element,
    panel("Just ended", ended.element, h("a", { href: "/requests" }, "all requests"), true),
  );
  let live = null;
  const draw = () => streams.update(live, here().query.get("q") ?? "", signal);
  const take = (data) => {
    live = data;
    drawStrip(strip, feed.last("summary"), live);
    draw();
  };
  feed.on("live", take, signal);
  feed.on("summary", (summary) => drawStrip(strip, summary, live), signal);
  feed.on("closed", async ({ rows, more }) => ended.add(more ? (await newest()).rows : rows), signal);
  if (live === null) {
    take(await read("/live", {}, signal));
  }
  return { filtered: draw };
}

/** The last rows that closed, newest first, each once. */
class Ended {
  element = h("div");
  #rows;

  constructor({ rows }) {
    this.#rows = [];
    this.add(rows);
  }

  add(rows) {
    const closed = rows.filter((row) => row.status !== "in_flight");
    const byId = new Map([...this.#rows, ...closed].map((row) => [row.id, row]));
    this.#rows = [...byId.values()].sort((a, b) => b.finished_at - a.finished_at).slice(0, ENDED);
    this.#draw();
  }

  #draw() {
    fill(
      this.element,
      table({
        label: "Just ended",
        columns: ENDED_COLUMNS,
        rows: this.#rows,
        opens: (row) => `/requests/${encodeURIComponent(row.id)}`,
        empty: ["No request has ended yet.", "Point a client at the data listener, and it shows up here."],
      }),
    );
  }
}

export const live = { name: "live", title: () => "Live", open };
