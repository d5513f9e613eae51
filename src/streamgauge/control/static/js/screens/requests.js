// Requests: the ledger's rows by pages, newest first. All filters stand in the URL.

import { read } from "../parts/api.js";
import { fill, h } from "../parts/dom.js";
import * as field from "../parts/fields.js";
import { rangeOptions, searchField, selectField, sinceOf, textField } from "../parts/filters.js";
import { moment } from "../parts/format.js";
import { here, setFilters } from "../parts/place.js";
import { table } from "../parts/table.js";
import { exportMenu } from "./export.js";

const STATUSES = [
  "completed", "client_disconnected", "cancelled", "superseded", "limit_reached", "upstream_error", "upstream_timeout",
  "stream_incomplete", "upstream_protocol_error", "rejected", "shutdown", "gateway_crash", "in_flight",
]; // prettier-ignore
const SIZE = 50;
const PASSED_ON = ["status", "model", "upstream", "key", "session", "text", "after"];

const COLUMNS = [
  { title: "Begun", cell: field.begun },
  { title: "Id", cell: (row) => h("a", { href: pathOfRow(row) }, field.shortId(row.id, 8)) },
  { title: "Status, finish", cell: (row) => [field.status(row), row.finish_reason === null ? null : h("span", { class: "dim" }, ` ${row.finish_reason}`)] },
  { title: "Model", cell: field.models },
  { title: "Upstream", cell: (row) => row.upstream ?? field.finish({ ...row, finish_reason: null }) },
  { title: "In", num: true, cell: field.input, hint: "tokens read, what came from a cache included" },
  { title: "Out", num: true, cell: field.output, hint: "tokens written, reasoning included" },
  { title: "Cached", num: true, cell: field.cached, hint: "part of the tokens read" },
  { title: "Reasoning", num: true, cell: field.reasoning, hint: "part of the tokens written" },
  { title: "Source", cell: field.source, hint: "where the count of written tokens is from" },
  { title: "Cost", num: true, cell: field.price },
  { title: "Price", cell: field.priceSource, hint: "where the price is from" },
  { title: "TTFT", num: true, cell: field.ttft, hint: "time to the first content" },
  { title: "Took", num: true, cell: field.took },
  { title: "tok/s", num: true, cell: field.pace },
  { title: "Ctx", num: true, cell: field.contextShare, hint: "share of the model's context in use" },
  { title: "Integrity", cell: field.integrity },
];

function pathOfRow({ id }) {
  return `/requests/${encodeURIComponent(id)}`;
}

/** Return what the API is asked for, from the URL. */
export function asked(query) {
  const filters = Object.fromEntries(PASSED_ON.map((name) => [name, query.get(name)]));
  return { ...filters, since: sinceOf(query, "all") };
}

async function open({ root, signal, feed }) {
  const list = h("div");
  const pages = h("div", { class: "pages" });
  const fresh = h("button", { type: "button", class: "small", hidden: true, on: { click: () => load() } });
  fill(
    root,
    h("div", { class: "screen-head" }, h("h1", null, "Requests"), fresh, h("span", { class: "grow" }), exportMenu(() => asked(here().query))),
    filters(),
    list,
    pages,
  );
  let unseen = 0;
  async function load() {
    const page = await read("/requests", { ...asked(here().query), limit: SIZE }, signal);
    unseen = 0;
    fresh.hidden = true;
    fill(list, tableOf(page));
    fill(pages, ...pageLinks(page));
  }
  feed.on(
    "closed",
    ({ rows, more }) => {
      unseen = more || unseen === null ? null : unseen + rows.length;
      fresh.hidden = false;
      fill(fresh, unseen === null ? "newer ones, show" : `${unseen} newer, show`);
    },
    signal,
  );
  await load();
  return { filtered: load };
}

function filters() {
  return h(
    "div",
    { class: "filters", role: "search" },
    searchField("text", "Id, model, name or error  /", "Search in ids, models, names and errors"),
    selectField("status", "Status", [["", "any"], ...STATUSES.map((name) => [name, name.replaceAll("_", " ")])]),
    textField("model", "Model", "Model, a glob"),
    textField("upstream", "Upstream", "Upstream"),
    textField("key", "Key", "Key id"),
    textField("session", "Session", "Session id"),
    selectField("range", "Begun", rangeOptions("all")),
    h("button", { type: "button", class: "quiet small", on: { click: clear } }, "Clear"),
  );
}

function clear() {
  setFilters(Object.fromEntries([...PASSED_ON, "range"].map((name) => [name, null])), true);
  for (const control of document.querySelectorAll(".filters input, .filters select")) {
    control.value = control.matches("select") ? (control.options[0]?.value ?? "") : "";
  }
}

function tableOf(page) {
  const narrowed = page.scanned_to !== null && page.next !== null;
  return table({
    label: "Requests",
    columns: COLUMNS,
    rows: page.rows,
    opens: pathOfRow,
    empty: narrowed ? `No match among the rows back to ${moment(page.scanned_to)}. Older ones have not been looked at.` : ["No request fits.", "A filter is set, or no client has asked yet."],
  });
}

function pageLinks(page) {
  const paged = here().query.get("after") !== null;
  const newest = h("button", { type: "button", "data-key": "p", disabled: !paged, on: { click: () => setFilters({ after: null }, true) } }, "Newest ", h("kbd", null, "p"));
  const older = h(
    "button",
    { type: "button", "data-key": "n", disabled: page.next === null, on: { click: () => setFilters({ after: page.next }, true) } },
    page.rows.length < SIZE && page.next !== null ? "Look further back " : "Older ",
    h("kbd", null, "n"),
  );
  const scanned = page.rows.length < SIZE && page.next !== null && page.scanned_to !== null;
  return [newest, older, scanned ? h("span", { class: "dim" }, `looked back to ${moment(page.scanned_to)}`) : null];
}

export const requests = { name: "requests", title: () => "Requests", open };
