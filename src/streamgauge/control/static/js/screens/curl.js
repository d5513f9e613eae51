// Writes an exchange as a curl command. The ledger keeps no prompt, so the command has a place for one.

import { read } from "../parts/api.js";

const PROMPT = "…";
const FALLBACK = "http://127.0.0.1:8066";
/** Where an endpoint has its text; the others have messages. */
const FIELDS = { completions: "prompt", responses: "input", embeddings: "input" };
/** Dialects that are asked for by the address. */
const BARE = new Set(["simple", "frames"]);

/** Return where clients reach the gateway, by its configuration. */
export async function dataUrl() {
  const { settings } = await read("/config");
  const value = (path) => settings.find((setting) => setting.path === path)?.value ?? null;
  const [host, port] = [value("server.host"), value("server.port")];
  if (host === null || !port) {
    return FALLBACK;
  }
  return `http://${String(host).includes(":") ? `[${host}]` : host}:${port}`;
}

/** Return the command for a shell. What a client chose stands in single quotes, where a shell reads nothing. */
export function curlOf(row, url) {
  const path = `/v1/${row.endpoint ?? "chat/completions"}${BARE.has(row.dialect) ? `?protocol=${row.dialect}` : ""}`;
  const lines = [`curl ${row.streaming ? "-N " : ""}${quoted(`${url}${path}`)}`, `-H ${quoted("content-type: application/json")}`];
  if (row.dialect === "anthropic") {
    lines.push(`-H ${quoted("anthropic-version: 2023-06-01")}`);
  }
  if (row.key_id !== null) {
    lines.push('-H "authorization: Bearer $STREAMGAUGE_KEY"');
  }
  lines.push(`-d ${quoted(JSON.stringify(bodyOf(row)))}`);
  return lines.join(" \\\n  ");
}

function bodyOf(row) {
  const body = { model: row.requested_model ?? "MODEL" };
  if (row.dialect === "anthropic") {
    body.max_tokens = 1024;
  }
  if (row.streaming !== null && row.endpoint !== "embeddings") {
    body.stream = Boolean(row.streaming);
  }
  const asked = FIELDS[row.endpoint];
  return asked === undefined ? { ...body, messages: [{ role: "user", content: PROMPT }] } : { ...body, [asked]: PROMPT };
}

function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
