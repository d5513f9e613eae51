// Usage as the upstream reported it beside what was booked, and the price term by term. All figures are the API's.

import { h } from "../parts/dom.js";
import { count } from "../parts/format.js";
import { costReason, missing, orDash, sourceBadge, unit } from "../parts/marks.js";
import { facts, table } from "../parts/table.js";

const PARTS = new Set(["cache_read_tokens", "cache_write_tokens", "reasoning_tokens"]);

/** Return the counts, reported and booked side by side. */
export function usageTable({ usage }) {
  const columns = [
    { title: "Count", head: true, cell: ({ name }) => h("span", { class: PARTS.has(name) ? "part" : null }, name.replace("_tokens", "").replaceAll("_", " ")) },
    { title: "Reported", num: true, cell: ({ reported, booked, source }) => orDash(count(reported), booked === null ? "not stated" : `not stated: ${source ?? "not known"}`) },
    { title: "Booked", num: true, cell: bookedCell },
    { title: "Source", cell: ({ source, meaning, booked }) => (booked === null && source === null ? missing("nothing was stated") : h("span", { title: meaning || null }, sourceBadge(source))) },
    { title: "", cell: verdict },
  ];
  return table({ label: "Usage as reported and as booked", columns, rows: usage });
}

function bookedCell({ booked, exact }) {
  if (booked === null) {
    return missing("neither stated nor countable");
  }
  return exact ? count(booked) : h("span", { class: "estimate" }, count(booked));
}

function verdict({ booked, reported, exact }) {
  if (booked === null) {
    return "";
  }
  if (reported === null) {
    return h("span", { class: "dim" }, "counted here");
  }
  if (booked !== reported) {
    return h("span", { class: "badge warn" }, "▲ differs");
  }
  return exact ? h("span", { class: "tone-ok" }, "✓ equal") : h("span", { class: "dim" }, "equal, not final");
}

/** Return the price formula with its parts, the sum and whether it gives what was booked. */
export function bill({ cost }) {
  if (cost.booked === null) {
    return h("p", { class: "dim" }, "Not booked: ", costReason(cost.reason), ".");
  }
  const booked = [h("b", null, cost.booked), unit(cost.currency)];
  if (cost.terms.length === 0) {
    return h("div", { class: "stack" }, h("p", null, booked), h("p", { class: "dim" }, cost.note ?? "No terms are kept with this row."));
  }
  return h("div", { class: "stack" }, h("div", { class: "scrolls" }, formula(cost, booked)), cost.note === null ? null : h("p", { class: "dim" }, cost.note), provenance(cost));
}

function formula(cost, booked) {
  const line = (name, tokens, times, rate, amount) => h("tr", null, h("th", { scope: "row" }, name), h("td", { class: "num" }, tokens), h("td", null, times), h("td", { class: "num" }, rate), h("td", null, "="), h("td", { class: "num" }, amount));
  const terms = cost.terms.map((term) => line(term.name.replaceAll("_", " "), count(term.tokens), "×", [term.rate, unit(`${term.currency} / 1M`)], term.amount));
  if (cost.fee !== null) {
    terms.push(line("fee", "", "", "", cost.fee));
  }
  return h(
    "table",
    { class: "formula", "aria-label": "Price, term by term" },
    h("tbody", null, terms),
    h("tfoot", null, line("sum", "", "", "", orDash(cost.sum, "the terms have no sum")), line("booked", agreement(cost), "", "", booked)),
  );
}

function agreement(cost) {
  if (cost.agrees === null) {
    return "";
  }
  return cost.agrees ? h("span", { class: "tone-ok" }, "✓ agrees") : h("span", { class: "badge bad" }, "✗ differs");
}

function provenance(cost) {
  const price = cost.price ?? {};
  const of = [price.upstream, price.model].filter(Boolean).join(" / ");
  return facts([
    ["Price of", of === "" ? null : of],
    ["From", cost.source],
    ["Valid from", price.valid_from ?? null],
  ]);
}
