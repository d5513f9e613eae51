// The attempts of one exchange as a tree: which upstream was tried, what came of it, what it may have cost.

import { h } from "../parts/dom.js";
import { count, duration } from "../parts/format.js";
import { orDash, state } from "../parts/marks.js";

/** Return the tree, or why there is none. */
export function attemptsTree({ request, attempts, billed }) {
  if (attempts.length === 0) {
    return h("p", { class: "dim" }, request.status === "rejected" ? "None: it was refused before any upstream was called." : "None is in the ledger.");
  }
  return h("ol", { class: "tree" }, attempts.map((attempt, at) => branch(attempt, billed[at], at === attempts.length - 1, request)));
}

function branch(attempt, billed, last, request) {
  const ended = attempt.started_at === null || attempt.finished_at === null ? null : (attempt.finished_at - attempt.started_at) / 1000;
  return h(
    "li",
    null,
    h(
      "div",
      { class: "branch" },
      h("span", { class: "mono dim" }, `${attempt.n}`),
      h("b", null, attempt.upstream),
      h("span", null, orDash(attempt.model, "its request named no model")),
      h("span", { class: "badge" }, attempt.dialect),
      attempt.outcome === null ? state("in_flight") : state(attempt.outcome),
    ),
    h(
      "p",
      { class: "dim" },
      [
        attempt.http_status === null ? "no HTTP status" : `HTTP ${attempt.http_status}`,
        attempt.error_code,
        attempt.connected_ms === null ? null : `connected after ${duration(attempt.connected_ms)}`,
        attempt.first_byte_ms === null ? "no byte" : `first byte after ${duration(attempt.first_byte_ms)}`,
        attempt.usage_ms === null ? null : `usage after ${duration(attempt.usage_ms)}`,
        attempt.outcome === "gateway_crash" ? "nobody knows how long it took" : ended === null ? "not ended" : `took ${duration(ended)}`,
      ]
        .filter(Boolean)
        .join(" · "),
    ),
    h("p", { class: "dim" }, "tokens ", figures(attempt), " · billed: ", bill(billed)),
    last && request.route !== null ? h("p", { class: "dim" }, `route ${request.route}`) : null,
  );
}

function figures(attempt) {
  const why = "the upstream stated none";
  return [orDash(count(attempt.input_tokens), why), " in, ", orDash(count(attempt.output_tokens), why), " out"];
}

function bill(billed) {
  return billed === "perhaps" ? h("span", { class: "badge warn", title: "the upstream had begun to answer, or may have" }, billed) : orDash(billed, "it has not ended");
}
