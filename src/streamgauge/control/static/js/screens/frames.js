// Frames and integrity of one exchange: what its row vouches for, and, where it was captured, each frame with its time.

import { addressOf, read, readText, send } from "../parts/api.js";
import { CaptureError, readCapture, streamHash } from "../parts/capture.js";
import { ask, copy } from "../parts/dialog.js";
import { fill, h } from "../parts/dom.js";
import * as field from "../parts/fields.js";
import { bytes, count, counted, duration } from "../parts/format.js";
import { missing, orDash } from "../parts/marks.js";
import { go } from "../parts/place.js";
import { facts, panel, table } from "../parts/table.js";
import { badges, findingsPanel, marksOf, proofOf, verdict } from "./proof.js";
import { ending, numbers } from "./request_head.js";
import { requestTabs } from "./request_tabs.js";
import { tokenTimeline } from "./token_timeline.js";

const SHOWN = 1000;
const STALL_US = 1_000_000;

async function open({ root, signal, names: [id] }) {
  const path = encodeURIComponent(id);
  const [page, stored] = await Promise.all([read(`/requests/${path}`, {}, signal), read("/captures", {}, signal)]);
  const { request, anomalies } = page;
  const found = stored.captures.find((capture) => capture.id === id) ?? null;
  const body = found === null ? [noCapture(stored.enabled)] : await captured(id, request, found, signal);
  fill(
    root,
    h("div", { class: "screen-head" }, h("h1", null, "Frames and integrity"), h("span", { class: "dim" }, field.models(request)), h("span", { class: "grow" }), h("a", { class: "button", href: `/requests/${path}`, "data-up": true }, "Back ", h("kbd", null, "Esc"))),
    requestTabs(id, "frames"),
    ending(page),
    numbers(request),
    panel("What the row vouches for", facts(vouched(request, anomalies))),
    body,
  );
}

function vouched(row, anomalies) {
  return [
    ["Frames", `${count(row.frames_in) ?? "–"} from the upstream, ${count(row.frames_out) ?? "–"} to the client`],
    ["Bytes", `${bytes(row.bytes_in) ?? "–"} from the upstream, ${bytes(row.bytes_out) ?? "–"} to the client`],
    ["Hash of all that was sent", row.stream_sha1 === null ? missing("no stream was sent") : h("span", { class: "mono" }, row.stream_sha1)],
    ["Odd", anomalies.length === 0 ? h("span", { class: "tone-ok" }, "✓ nothing") : anomalies.map(({ name, meaning }) => h("div", null, h("span", { class: "badge warn" }, `▲ ${name}`), ` ${meaning}`))],
  ];
}

function noCapture(enabled) {
  const why = enabled ? "This exchange was not captured, so its frames are not kept: only their number, size and hash." : "Captures are off (no capture.dir), so frames are not kept: only their number, size and hash.";
  return h("div", { class: "panel" }, h("div", { class: "empty" }, h("p", null, why), h("p", null, "To capture the next ones: ", h("code", null, "streamgauge capture"), ". A saved response can be checked with ", h("code", null, "streamgauge verify FILE"), ".")));
}

async function captured(id, row, stored, signal) {
  const address = `/captures/${encodeURIComponent(id)}`;
  const [text, proved] = await Promise.all([readText(address, signal), proofOf(address, signal)]);
  let capture;
  try {
    capture = readCapture(text);
  } catch (error) {
    if (!(error instanceof CaptureError)) {
      throw error;
    }
    return [h("p", { class: "notice bad" }, error.message)];
  }
  const client = capture.sides[0];
  const marks = marksOf(proved, client.frames);
  return [
    panel("Capture", [facts([["Verify", verdict(proved)], ...(await verdicts(capture, row, stored))]), actions(id, address)]),
    findingsPanel(proved),
    client.frames.length < 2 ? null : panel("Token timeline", tokenTimeline(client.frames, signal), "frames to the client, by the capture's clock"),
    h("div", { class: "columns" }, capture.sides.map((side) => framesPanel(side, capture.closing, side.sent ? marks : new Map()))),
  ];
}

async function verdicts({ opening, closing, sides }, row, stored) {
  const { frames } = sides[0];
  const masked = (closing?.masked.length ?? 0) > 0;
  const hash = masked ? null : await streamHash(frames);
  const told = (good, yes, no) => (good ? h("span", { class: "tone-ok" }, `✓ ${yes}`) : h("span", { class: "badge bad" }, `✗ ${no}`));
  return [
    ["Whole", closing === null ? told(false, "", "the file has no last line: the gateway was killed") : told(closing.complete, "complete", `not complete, ${counted(closing.dropped, "line")} dropped`)],
    ["Frames as in the row", frames.length === 0 ? missing("the answer was no stream") : told(frames.length === row.frames_out, `${count(frames.length)}`, `${count(frames.length)} here, ${count(row.frames_out)} in the row`)],
    ["Hash as in the row", hash === null || frames.length === 0 ? missing(masked ? "some frames hold masked secrets" : "nothing to hash, or this browser hashes only in a safe context") : told(hash === row.stream_sha1, "equal, worked out here", "differs")],
    ["Stamps", opening.integrity],
    ["File", `${bytes(stored.bytes)}`],
  ];
}

function actions(id, address) {
  const command = `streamgauge replay ${id}.jsonl --port 0`;
  const buttons = h(
    "p",
    { class: "filters" },
    h("a", { class: "button", href: addressOf(address), download: `${id}.jsonl` }, "Download"),
    h("button", { type: "button", on: { click: () => copy(command, "Command to replay it") } }, "Copy replay command"),
    h("button", { type: "button", class: "danger", on: { click: () => remove(id, address) } }, "Delete"),
  );
  return [buttons, h("p", { class: "dim" }, "To replay the downloaded file to any client, with its pauses: ", h("code", null, command))];
}

async function remove(id, address) {
  if ((await ask("Delete this capture?", h("p", null, "The row stays; its frames cannot be brought back."), { confirm: "Delete", danger: true })) !== null) {
    await send("DELETE", address);
    go(`/requests/${encodeURIComponent(id)}`);
  }
}

function framesPanel(side, closing, marks) {
  const start = side.frames[0]?.t ?? 0;
  const sha1 = (seq) => (side.sent ? (closing?.sha1s[seq - 1] ?? null) : null);
  const stamped = side.frames.some(({ stamp }) => stamp !== null);
  const columns = [
    { title: "Seq", num: true, head: true, cell: ({ seq }) => seq },
    { title: "t", num: true, cell: ({ t }) => duration((t - start) / 1000) },
    { title: "dt", num: true, cell: ({ dt }) => (dt === null ? "" : h("span", { class: dt > STALL_US ? "tone-bad" : null }, `${dt > STALL_US ? "▲ " : ""}${duration(dt / 1000)}`)) },
    { title: "Event", cell: ({ seq, event, repeat }) => [event === "message" ? h("span", { class: "dim" }, "data") : event, repeat ? h("span", { class: "badge warn" }, "▲ same again") : null, badges(marks.get(seq))] },
    { title: "Bytes", num: true, cell: (frame) => count(frame.bytes) },
    ...(side.sent ? [{ title: "sha1", cell: ({ seq }) => h("span", { class: "mono" }, orDash(sha1(seq), "not kept for this frame")) }, ...(stamped ? [{ title: "acc_len", num: true, cell: ({ stamp }) => orDash(count(stamp?.acc_len ?? null), "no stamp was on the wire") }] : [])] : []),
    { title: "Payload", cell: ({ payload }) => h("span", { class: "mono payload", title: payload.slice(0, 2000) }, payload.slice(0, 160)) },
  ];
  const more = side.frames.length > SHOWN ? `the first ${count(SHOWN)} of ${count(side.frames.length)}` : counted(side.frames.length, "frame");
  return panel(side.sent ? "To the client" : `From the ${side.name}`, table({ label: `Frames, ${side.name}`, columns, rows: side.frames.slice(0, SHOWN), flagged: ({ seq }) => marks.has(seq), empty: "No frames: the answer came whole, or nothing came." }), more, true);
}

export const frames = { name: "frames", title: (id) => `Frames ${id}`, open };
