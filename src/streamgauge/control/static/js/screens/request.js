// Request detail: everything the ledger knows of one exchange, in the order in which a person asks.

import { ApiError, read, readText, send } from "../parts/api.js";
import { CaptureError, readCapture } from "../parts/capture.js";
import { copy, notice } from "../parts/dialog.js";
import { fill, h } from "../parts/dom.js";
import * as field from "../parts/fields.js";
import { bytes, count, duration, micros, moment } from "../parts/format.js";
import { costBadge, orDash, sourceBadge } from "../parts/marks.js";
import { sessionPath, withLastFilters } from "../parts/place.js";
import { facts, panel } from "../parts/table.js";
import { attemptsTree } from "./attempts.js";
import { bill, usageTable } from "./bill.js";
import { curlOf, dataUrl } from "./curl.js";
import { pacePanel } from "./pace.js";
import { ending, numbers } from "./request_head.js";
import { requestTabs } from "./request_tabs.js";
import { tokenTimeline } from "./token_timeline.js";
import { waterfall } from "./waterfall.js";

const NOT_CAPTURED = { frames: [], heads: [] };

async function open({ root, signal, feed, names: [id] }) {
  let running = true;
  const load = async () => {
    const [page, capture] = await Promise.all([read(`/requests/${encodeURIComponent(id)}`, {}, signal), captured(id, signal)]);
    fill(root, ...parts(page, capture, signal));
    running = page.request.status === "in_flight";
  };
  let loading = load();
  const ended = ({ rows, more }) => {
    if (running && (more || rows.some((row) => row.id === id))) {
      // The row that is being read just now may be the one before: once more, when that is done.
      loading = loading.then(() => (running ? load() : undefined));
    }
  };
  feed.on("closed", ended, signal);
  await loading;
}

/** Return what was captured: the frames that the client was sent, and the heads; none of them where there is nothing to read. */
async function captured(id, signal) {
  try {
    const { captures } = await read("/captures", {}, signal);
    if (!captures.some((capture) => capture.id === id)) {
      return NOT_CAPTURED;
    }
    const { sides, heads } = readCapture(await readText(`/captures/${encodeURIComponent(id)}`, signal));
    return { frames: sides[0].frames, heads };
  } catch (error) {
    // A folder that cannot be read takes nothing from what the ledger has.
    if (!(error instanceof CaptureError || error instanceof ApiError)) {
      throw error;
    }
    return NOT_CAPTURED;
  }
}

function parts(page, { frames, heads }, signal) {
  const row = page.request;
  return [
    head(row),
    requestTabs(row.id, "exchange"),
    ending(page),
    numbers(row),
    panel("Timeline", waterfall(page), overhead(row)),
    frames.length < 2 ? null : panel("Token timeline", tokenTimeline(frames, signal), "from its capture"),
    h("div", { class: "columns" }, panel("Pace of the answer", pacePanel(row, signal), null), panel("Attempts", attemptsTree(page), tries(row))),
    h("div", { class: "columns" }, panel("Usage, as reported and as booked", usageTable(page), sourceBadge(row.usage_source), true), panel("Cost, worked out", bill(page), costBadge(row.cost_source))),
    h("div", { class: "columns" }, panel("Client", facts(clientFacts(row))), panel("Answer", facts(answerFacts(row)))),
    page.anomalies.length === 0 ? null : panel("What was odd", anomalies(page.anomalies)),
    panel("Raw", raw(page, heads)),
  ];
}

function head(row) {
  return h(
    "div",
    { class: "screen-head" },
    h("h1", null, field.models(row)),
    h("span", { class: "dim" }, row.upstream === null ? "no upstream" : `at ${row.upstream}`),
    h("span", { class: "grow" }),
    row.status === "in_flight" ? h("button", { type: "button", class: "danger", on: { click: () => stop(row.id) } }, "Stop") : null,
    h("button", { type: "button", on: { click: () => copy(row.id, "Id") } }, "Copy id"),
    h("button", { type: "button", "data-curl": true, on: { click: async () => copy(curlOf(row, await dataUrl()), "curl command") } }, "Copy as curl"),
    h("a", { href: withLastFilters("/requests"), "data-up": true, class: "button" }, "Back ", h("kbd", null, "Esc")),
  );
}

function overhead(row) {
  return row.overhead_us === null ? null : [`gateway's own share before the call: `, h("b", null, micros(row.overhead_us))];
}

function tries(row) {
  return row.attempts === null ? null : `${row.attempts} ${row.attempts === 1 ? "try" : "tries"}`;
}

function link(path, text) {
  return h("a", { href: path, class: "mono" }, text);
}

function clientFacts(row) {
  return [
    ["Begun", moment(row.started_at)],
    ["Application", orDash(row.client_app, "the client named none")],
    ["Key", row.key_id === null ? orDash(null, "no key was shown") : h("a", { href: `/requests?key=${encodeURIComponent(row.key_id)}` }, row.key_label ?? row.key_id)],
    ["Session", row.session_id === null ? orDash(null, "the request named none") : link(sessionPath(row.session_id), row.session_id)],
    ["Repeats", row.repeats === null ? null : link(`/requests/${encodeURIComponent(row.repeats)}`, row.repeats)],
    ["Dialect", `${row.dialect ?? "not known"} at ${row.endpoint ?? "–"}`],
    ["Asked for", orDash(row.requested_model, "the request named no model")],
    ["Route", orDash(row.route, "none was chosen")],
    ["Its own id", row.client_request_id],
    ["Configuration", row.config_version === null ? null : h("span", { class: "mono" }, row.config_version)],
  ];
}

function answerFacts(row) {
  return [
    ["HTTP status", orDash(row.http_status, "the client was told nothing")],
    ["Finish", row.finish_reason === null ? orDash(null, "no finish reason came") : `${row.finish_reason}${row.finish_normal === row.finish_reason || row.finish_normal === null ? "" : ` (${row.finish_normal})`}`],
    ["Answered by", orDash(row.response_model, "the answer named no model")],
    ["Service tier", row.service_tier],
    ["Error", row.error_code === null ? null : `${row.error_code}: ${row.error_message ?? ""}`],
    ["Delivered", orDash(row.delivered, "not known")],
    ["Upstream was", row.disposition === null ? null : row.disposition.replaceAll("_", " ")],
    ["Drained for", duration(row.drain_ms)],
    ["Frames", `${count(row.frames_in) ?? "–"} in, ${count(row.frames_out) ?? "–"} out`],
    ["Bytes", `${bytes(row.bytes_in) ?? "–"} in, ${bytes(row.bytes_out) ?? "–"} out`],
    ["Hash of the stream", row.stream_sha1 === null ? null : h("span", { class: "mono" }, row.stream_sha1)],
  ];
}

function anomalies(found) {
  return facts(found.map(({ name, meaning }) => [h("span", { class: "badge warn" }, `▲ ${name}`), meaning === "" ? "not known to this release" : meaning]));
}

function raw(page, heads) {
  const block = (title, text) => h("details", null, h("summary", null, title), h("pre", { class: "block", tabindex: "0" }, text));
  const json = (title, value) => block(title, JSON.stringify(value, null, 2));
  return h(
    "div",
    { class: "stack" },
    json("Row of the ledger", page.request),
    json(`Rows of its attempts (${page.attempts.length})`, page.attempts),
    json("Price kept with the row", page.cost.price),
    heads.map(({ way, text }) => block(`Headers of the ${way}, secrets masked`, text)),
    heads.length > 0 ? null : h("p", { class: "dim" }, "Headers are kept with a capture only."),
  );
}

async function stop(id) {
  await send("POST", `/streams/${encodeURIComponent(id)}/stop`);
  notice("The stream was ended.");
}

export const request = { name: "request", title: (id) => `Request ${id}`, open };
