// Reads a capture file (docs/capture.md) and cuts each side's bytes into frames. Knows no page.
// Bytes are kept as strings of one character each: a piece may end, and another begin, inside a character of UTF-8.

const VERSION = 1;
const LINE_END = /\r\n|\r|\n/;

/** What a file has that this page cannot read. */
export class CaptureError extends Error {}

/**
 * Return {opening, closing, sides, heads}: `sides` are {name, frames} of the client and of each attempt, `heads` {way, text}
 * of each request's and answer's head in the order of time, secrets masked as in the file. Raises CaptureError.
 */
export function readCapture(text) {
  const lines = text.split("\n").filter((line) => line !== "").map(parsed);
  const opening = lines[0] ?? {};
  if (opening.streamgauge_capture !== VERSION) {
    throw new CaptureError(`This page reads captures of format ${VERSION} only.`);
  }
  const closing = lines.find((line) => "closed" in line) ?? null;
  const moved = lines.filter((line) => "t" in line);
  const attempts = [...new Set(moved.filter(({ side }) => side === "upstream").map(({ n }) => n))];
  const sides = [{ name: "client", sent: true, frames: framesOf(moved.filter((line) => line.side === "client" && line.dir === "out")) }];
  for (const n of attempts) {
    const came = moved.filter((line) => line.side === "upstream" && line.dir === "in" && line.n === n);
    sides.push({ name: attempts.length > 1 ? `upstream, try ${n}` : "upstream", sent: false, frames: framesOf(came) });
  }
  return { opening, closing, sides, heads: headsOf(moved, attempts.length > 1) };
}

function headsOf(lines, numbered) {
  const way = ({ side, dir, n }) => `${(side === "client") === (dir === "in") ? "request" : "answer"} ${dir === "in" ? "from" : "to"} the ${side}${side === "upstream" && numbered ? `, try ${n}` : ""}`;
  return lines.filter(({ head }) => head !== undefined).map((line) => ({ way: way(line), text: line.head.trimEnd() }));
}

/** A gateway that was killed leaves half a line at the end. */
function parsed(line) {
  try {
    return JSON.parse(line);
  } catch {
    return {};
  }
}

/** Cut the bytes of one direction into frames; a frame's time is that of its last byte. */
function framesOf(lines) {
  const kind = contentType(lines.find(({ head }) => head !== undefined)?.head ?? "");
  const cut = kind.startsWith("application/x-ndjson") ? lineCutter() : kind.startsWith("text/event-stream") ? eventCutter() : null;
  if (cut === null) {
    return [];
  }
  const frames = [];
  for (const line of lines) {
    const raw = line.b64 === undefined ? bytesOf(line.data ?? "") : atob(line.b64);
    frames.push(...cut(raw).map((frame) => ({ ...frame, t: line.t })));
  }
  return numbered(frames);
}

function contentType(head) {
  const field = head.split("\r\n").find((line) => line.toLowerCase().startsWith("content-type:"));
  return field === undefined ? "" : field.slice(13).trim().toLowerCase();
}

function lineCutter() {
  let rest = "";
  return (raw) => {
    const lines = (rest + raw).split("\n");
    rest = lines.pop();
    return lines.filter((line) => line.trim() !== "").map((line) => ({ event: "line", raw: line, payload: textOf(line), bytes: line.length + 1, stamp: null }));
  };
}

function eventCutter() {
  let rest = "";
  return (raw) => {
    const blocks = (rest + raw).split(/\r\n\r\n|\n\n|\r\r/);
    rest = blocks.pop();
    return blocks.map(eventOf).filter((frame) => frame !== null);
  };
}

/** Return one event, or null for a block without data: comments alone, as pings are. */
function eventOf(block) {
  const lines = block.split(LINE_END);
  const values = (name) => lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).replace(/^ /, ""));
  const data = values("data");
  const event = values("event")[0] ?? null;
  if (data.length === 0 || event === "ping") {
    return null;
  }
  const raw = data.join("\n");
  return { event: event ?? "message", raw, payload: textOf(raw), bytes: block.length + 2, stamp: stampOf(lines) };
}

function stampOf(lines) {
  const comment = lines.find((line) => line.startsWith(": streamgauge-frame "));
  return comment === undefined ? null : (parsed(textOf(comment.slice(20))) ?? null);
}

const LONG_PAYLOAD = 48;

/** Number the frames as they are stamped, from 1, and note what is the same twice. */
function numbered(frames) {
  return frames.map((frame, at) => {
    const before = frames[at - 1] ?? null;
    const repeat = before !== null && before.payload === frame.payload && frame.payload.length > LONG_PAYLOAD;
    return { ...frame, seq: at + 1, dt: before === null ? null : frame.t - before.t, repeat };
  });
}

const AT_ONCE = 8192;

/** Return a text's bytes in UTF-8. */
function bytesOf(text) {
  if (/^[\x00-\x7f]*$/.test(text)) {
    return text;
  }
  const bytes = new TextEncoder().encode(text);
  let raw = "";
  for (let at = 0; at < bytes.length; at += AT_ONCE) {
    raw += String.fromCharCode(...bytes.subarray(at, at + AT_ONCE));
  }
  return raw;
}

function packed(raw) {
  return Uint8Array.from(raw, (byte) => byte.charCodeAt(0));
}

/** Return the text that bytes are; what is no UTF-8 shows as U+FFFD. */
function textOf(raw) {
  return new TextDecoder().decode(packed(raw));
}

/** Return the SHA-1 over all payloads, each followed by LF (SPEC §12.1), or null where the browser hashes nothing. */
export async function streamHash(frames) {
  if (globalThis.crypto?.subtle === undefined) {
    return null;
  }
  const digest = await crypto.subtle.digest("SHA-1", packed(frames.map(({ raw }) => `${raw}\n`).join("")));
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
