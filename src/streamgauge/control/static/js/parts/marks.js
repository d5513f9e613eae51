// How a value shows where it comes from: states as sign and word, sources as badges, unknown as a dash with its reason.

import { h } from "./dom.js";
import { DASH, money, nano } from "./format.js";

const STATES = {
  in_flight: ["…", "busy"],
  completed: ["✓", "ok"],
  client_disconnected: ["↩", "warn"],
  cancelled: ["■", "warn"],
  superseded: ["»", "warn"],
  limit_reached: ["▲", "bad"],
  rejected: ["⊘", "bad"],
  shutdown: ["■", "warn"],
  connecting: ["◌", "busy"],
  prefill: ["◔", "busy"],
  streaming: ["▸", "ok"],
  draining: ["▾", "warn"],
  ok: ["✓", "ok"],
  degraded: ["▲", "warn"],
  unhealthy: ["✗", "bad"],
  drained: ["▽", "warn"],
  warning: ["▲", "warn"],
  error: ["✗", "bad"],
  closed: ["✓", "ok"],
  half_open: ["◔", "warn"],
  open: ["✗", "bad"],
  active: ["✓", "ok"],
  rotated: ["»", "warn"],
  expired: ["▲", "warn"],
  revoked: ["⊘", "bad"],
  stale: ["▲", "warn"],
};
const FAILED = ["✗", "bad"];

/** Return sign and tone of a state; one that is not known is shown as failed, never hidden. */
export function signOf(name) {
  return STATES[name] ?? FAILED;
}

/** Return a state as sign and word. Colour repeats what they say. */
export function state(name, title = null) {
  if (name === null || name === undefined) {
    return missing("not known");
  }
  const [sign, tone] = signOf(name);
  return h(
    "span",
    { class: `state tone-${tone}`, title },
    h("span", { class: "sign", "aria-hidden": "true" }, sign),
    String(name).replaceAll("_", " "),
  );
}

const SOURCES = {
  provider: ["exact", "the upstream's own final numbers"],
  timings: ["own", "llama.cpp's timings in place of usage: the upstream's own numbers, and not in exact totals"],
  running: ["guess", "the upstream's running count when the stream was cut: not in exact totals"],
  counted: ["guess", "counted here: frames with content, at most the tokens; not in exact totals"],
  none: ["warn", "nobody stated a number"],
};

/** Return the badge of a token count's source. */
export function sourceBadge(source) {
  const [kind, meaning] = SOURCES[source] ?? ["warn", "no source is known"];
  return h("span", { class: `badge ${kind}`, title: meaning }, source ?? "unknown");
}

/** Whether a count of this source stands outside the totals that are called exact. */
export function isEstimate(source) {
  return source === "running" || source === "counted";
}

/** Return the dash for what is not known, with its reason for those who hover or listen. */
export function missing(reason) {
  const why = reason ?? "not known";
  return h("span", { class: "missing", title: why }, h("span", { "aria-hidden": "true" }, DASH), h("span", { class: "sr-only" }, `unknown: ${why}`));
}

/** Return `text`, or the dash with `reason` when it is null. */
export function orDash(text, reason) {
  return text === null || text === undefined || text === "" ? missing(reason) : text;
}

/** Return a token count: an estimate has its sign, an unknown one its dash. */
export function tokens(text, source, reason) {
  if (text === null || text === undefined) {
    return missing(reason ?? "the upstream stated no such count");
  }
  return isEstimate(source) ? h("span", { class: "estimate", title: SOURCES[source][1] }, text) : text;
}

const COST_REASONS = {
  no_price: "no price is known for this model",
  usage_unknown: "the token counts are not known",
  input_unknown: "the input count is not known",
  output_unknown: "the output count is not known",
  output_unpriced: "the price has no rate for output",
  usage_impossible: "the counts contradict each other",
  cost_impossible: "the counts come to more than an amount can be",
};

/** Return why a row has no cost, in words. */
export function costReason(reason) {
  return COST_REASONS[reason] ?? reason ?? "no cost is known";
}

/** Return an amount shortened, the whole on hover; null is a dash with the row's reason. */
export function cost(nanos, currency, reason) {
  if (nanos === null || nanos === undefined) {
    return missing(costReason(reason));
  }
  return h("span", { title: `${nano(nanos)} ${currency ?? ""}`.trim() }, money(nanos), unit(currency));
}

/** Return a unit behind its number. */
export function unit(text) {
  return text ? ["\u00a0", h("span", { class: "unit" }, text)] : null;
}

const COST_SOURCES = { config: "from prices: of the configuration", upstream: "the upstream's own figure for this call" };

/** Return the badge of a cost's source. */
export function costBadge(source) {
  if (source === null || source === undefined) {
    return h("span", { class: "badge warn", title: "no price" }, "unpriced");
  }
  const word = source.split(" ")[0];
  return h("span", { class: "badge", title: COST_SOURCES[word] ?? source }, word === "genai-prices" ? "list" : word);
}

/** Return a bar for a share between 0 and 100, with its number beside it. */
export function meter(value, text, warnAt = 75, badAt = 90) {
  const kind = value >= badAt ? "bad" : value >= warnAt ? "warn" : "";
  return h(
    "span",
    { class: "metered" },
    h("span", { class: `meter ${kind}`, "aria-hidden": "true" }, h("i", { style: { width: `${Math.min(100, Math.max(0, value))}%` } })),
    " ",
    text,
  );
}
