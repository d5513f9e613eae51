// The doctor's last report, and a button that has it made anew. Nothing that costs money is asked for.

import { read, send } from "../parts/api.js";
import { fill, h } from "../parts/dom.js";
import { count, duration } from "../parts/format.js";
import { state } from "../parts/marks.js";
import { panel, table } from "../parts/table.js";
import { ago } from "./strip.js";

/** Return the panel, with the report that is there already. */
export async function doctorPanel(signal) {
  const body = h("div", { class: "stack", "aria-live": "polite" });
  const button = h("button", { type: "button", class: "small", on: { click: () => examine(button, body) } }, "Examine");
  const { report } = await read("/doctor", {}, signal);
  fill(body, report === null ? h("p", { class: "dim" }, "Nobody has asked since the start. It looks at this machine and asks each upstream, at no cost; half a minute at most.") : shown(report));
  return panel("Doctor", body, button);
}

async function examine(button, body) {
  button.disabled = true;
  button.textContent = "Examining…";
  try {
    fill(body, shown(await send("POST", "/doctor")));
  } finally {
    button.disabled = false;
    button.textContent = "Examine";
  }
}

function shown({ at, took_ms: took, findings, well, left_out: left }) {
  return [
    h("p", { class: "dim" }, `Examined ${ago(at)}, in ${duration(took)}.`),
    findings.length === 0 ? h("p", { class: "tone-ok" }, "✓ nothing found") : findingsTable(findings),
    remarks("Left out", left),
    remarks("Found well", well),
    h("p", { class: "dim" }, "Calls that cost money are made by ", h("code", null, "streamgauge doctor --spend"), " only."),
  ];
}

function findingsTable(findings) {
  const columns = [
    { title: "Finding", head: true, cell: ({ id, severity }) => [state(severity), " ", h("span", { class: "mono" }, id)] },
    { title: "With", cell: ({ subject }) => subject },
    { title: "Measured", cell: ({ measured }) => h("span", { class: "wraps" }, measured) },
    { title: "Cure", cell: ({ cure }) => h("span", { class: "wraps" }, cure) },
  ];
  return table({ label: "Findings", columns, rows: findings });
}

function remarks(title, found) {
  if (found.length === 0) {
    return null;
  }
  return h("details", null, h("summary", null, `${title}: ${count(found.length)}`), h("ul", null, found.map(({ subject, measured }) => h("li", null, `${subject}: ${measured}`))));
}
