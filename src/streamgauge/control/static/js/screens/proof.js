// What `verify` says of a capture, and to which of its frames each finding belongs. The gateway judges, not this page.

import { ApiError, read } from "../parts/api.js";
import { h } from "../parts/dom.js";
import { count, counted } from "../parts/format.js";
import { missing } from "../parts/marks.js";
import { panel, table } from "../parts/table.js";

const GAP = "missing";

/** Return {proof, why}: the proof, or null and why there is none. */
export async function proofOf(address, signal) {
  try {
    return { proof: await read(`${address}/proof`, {}, signal), why: null };
  } catch (error) {
    if (!(error instanceof ApiError)) {
      throw error;
    }
    return { proof: null, why: error.message };
  }
}

/** Return the verdict in words. */
export function verdict({ proof, why }) {
  if (proof === null) {
    return missing(why);
  }
  const told = `by ${proof.witness}, ${counted(proof.frames, "frame")}`;
  const wrong = proof.findings.length + proof.more;
  return [
    proof.holds ? h("span", { class: "tone-ok" }, `✓ holds ${told}`) : h("span", { class: "badge bad" }, `✗ does not hold ${told}: ${count(wrong)} ${wrong === 1 ? "finding" : "findings"}`),
    proof.notes.map((note) => h("div", { class: "dim" }, note)),
  ];
}

/** Return the findings as a panel, or null without any. */
export function findingsPanel({ proof }) {
  if (proof === null || proof.findings.length === 0) {
    return null;
  }
  const columns = [
    { title: "Frame", num: true, head: true, cell: ({ seq }) => count(seq) },
    { title: "Byte", num: true, cell: ({ offset }) => count(offset) },
    { title: "Kind", cell: ({ kind }) => badge(kind) },
    { title: "What", cell: ({ text }) => h("span", { class: "wraps" }, text) },
  ];
  return panel("What verify found", table({ label: "Findings", columns, rows: proof.findings }), proof.more > 0 ? `and ${count(proof.more)} more` : null, true);
}

/** Return the kinds of findings by the position of the frame that shows them; a gap shows at the next frame that is there. */
export function marksOf({ proof }, frames) {
  const marks = new Map();
  const numbers = frames.map(({ seq, stamp }) => stamp?.seq ?? seq);
  for (const { kind, seq } of proof?.findings ?? []) {
    const at = kind === GAP ? numbers.findIndex((number) => number >= seq) : numbers.lastIndexOf(seq);
    if (at !== -1) {
      marks.set(at + 1, (marks.get(at + 1) ?? new Set()).add(kind));
    }
  }
  return marks;
}

/** Return what is wrong at a frame, as badges. */
export function badges(kinds) {
  return [...(kinds ?? [])].map((kind) => badge(kind));
}

function badge(kind) {
  const text = kind === GAP ? "gap: frames missing" : kind.replaceAll("_", " ");
  return h("span", { class: "badge bad" }, `✗ ${text}`);
}
