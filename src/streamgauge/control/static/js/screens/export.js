// Saves the rows that a filter finds as CSV or JSON lines. It reads them by pages, as the screen does.

import { read } from "../parts/api.js";
import { h, setText } from "../parts/dom.js";
import { count, counted } from "../parts/format.js";

const PAGE = 500;
const MOST = 100_000;
const SPREADSHEET_SIGNS = /^[=+\-@\t\r]/;

/** Return the two buttons. `asked()` gives the filters of this moment. */
export function exportMenu(asked) {
  const said = h("span", { class: "dim", role: "status" });
  const button = (kind, text) => h("button", { type: "button", class: "small", on: { click: () => save(kind, asked(), said) } }, text);
  return h("span", { class: "filters" }, said, button("csv", "CSV"), button("jsonl", "JSONL"));
}

async function save(kind, filters, said) {
  const rows = await collect(filters, (n) => setText(said, `${counted(n, "row")}…`));
  const text = kind === "csv" ? csvOf(rows) : rows.map((row) => `${JSON.stringify(row)}\n`).join("");
  download(`streamgauge-requests.${kind}`, text, kind === "csv" ? "text/csv" : "application/x-ndjson");
  setText(said, rows.length >= MOST ? `the newest ${count(MOST)}; for all: streamgauge ledger export` : `${counted(rows.length, "row")} saved`);
}

async function collect(filters, tell) {
  const rows = [];
  let after = null;
  do {
    const page = await read("/requests", { ...filters, after, limit: PAGE });
    rows.push(...page.rows);
    after = page.next;
    tell(rows.length);
  } while (after !== null && rows.length < MOST);
  return rows;
}

/** Return rows as CSV (RFC 4180), under the ledger's column names. Unknown is an empty field. */
export function csvOf(rows) {
  if (rows.length === 0) {
    return "";
  }
  const names = Object.keys(rows[0]);
  const lines = rows.map((row) => names.map((name) => csvField(row[name])).join(","));
  return `${[names.join(","), ...lines].join("\r\n")}\r\n`;
}

function csvField(value) {
  if (value === null || value === undefined) {
    return "";
  }
  if (typeof value === "number" || typeof value === "boolean") {
    return String(value);
  }
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  // Text that a spreadsheet would run as a formula is a client's to choose.
  const safe = SPREADSHEET_SIGNS.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function download(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}
