// Cells that a row of the ledger has on several screens. Knows the columns' names and why each may be empty.

import { h } from "./dom.js";
import { count, duration, moment, recent, short, speed } from "./format.js";
import { costBadge, cost, meter, missing, orDash, sourceBadge, state, tokens, unit } from "./marks.js";

const OPEN = "the exchange has not ended";

/** Return why a time of a row is unknown. */
export function noTime(row, what) {
  if (row.status === "in_flight") {
    return OPEN;
  }
  if (row.status === "rejected") {
    return "refused here: no upstream was called";
  }
  if (what === "ttft" && !row.streaming) {
    return "not a stream: the answer came whole";
  }
  return what === "ttft" ? "no content came" : "it ended before that";
}

/** Return why a count of a row is unknown. */
export function noCount(row) {
  return row.status === "in_flight" ? OPEN : row.status === "rejected" ? "refused here: nothing was used" : "the upstream did not say";
}

export function begun(row) {
  return h("span", { title: moment(row.started_at) }, recent(row.started_at));
}

/** Return an id's beginning, the whole on hover. */
export function shortId(id, length = 10) {
  return h("span", { class: "mono", title: id }, id.length > length ? `${id.slice(0, length)}…` : id);
}

/** Whether another model served than was asked for; `upstream/model` asks for this one, by its place. */
export function isRenamed(row, served) {
  const asked = row.requested_model;
  return asked !== null && served !== null && asked !== served && asked !== `${row.upstream}/${served}`;
}

/** Return the model that served, with the one asked for where it is another. */
export function models(row) {
  const served = row.upstream_model ?? row.response_model;
  const asked = row.requested_model;
  if (asked === null && served === null) {
    return missing("the request named no model");
  }
  if (!isRenamed(row, served)) {
    return h("span", { title: asked ?? served }, served ?? asked);
  }
  return h("span", { title: `asked for ${asked}, served by ${served}` }, h("span", { class: "dim" }, `${asked} → `), served);
}

/** Return the dialects of both sides, one where they are the same. */
export function dialects(row) {
  const upstream = row.upstream_dialect ?? row.dialect;
  return row.dialect === null ? missing("not known") : upstream === row.dialect ? row.dialect : `${row.dialect} → ${upstream}`;
}

export function status(row) {
  return state(row.status, row.error_message ?? null);
}

export function finish(row) {
  return orDash(row.finish_reason, row.status === "in_flight" ? OPEN : "no finish reason came");
}

export function input(row) {
  return tokens(short(row.input_tokens), row.input_source, noCount(row));
}

export function output(row) {
  return tokens(short(row.output_tokens), row.usage_source, noCount(row));
}

export function cached(row) {
  return tokens(short(row.cache_read_tokens), row.input_source, noCount(row));
}

export function reasoning(row) {
  return tokens(short(row.reasoning_tokens), row.usage_source, noCount(row));
}

export function source(row) {
  return row.status === "in_flight" ? missing(OPEN) : sourceBadge(row.usage_source);
}

/** Whether a row's cost is in the totals that are called exact: both counts are the provider's final ones. */
function isFinal(row) {
  return row.usage_source === "provider" && row.input_source === "provider";
}

/** Return what a row cost; one that rests on other counts has the sign of an estimate. */
export function price(row) {
  if (row.status === "in_flight") {
    return missing(OPEN);
  }
  const shown = cost(row.cost_nano, row.currency, row.cost_reason);
  return row.cost_nano === null || isFinal(row) ? shown : h("span", { class: "estimate" }, shown);
}

export function priceSource(row) {
  return row.status === "in_flight" ? missing(OPEN) : costBadge(row.cost_source);
}

export function ttft(row) {
  return orDash(duration(row.ttft_ms), noTime(row, "ttft"));
}

/** Return the whole time from the request to the row's end; a crashed row was closed by the next start. */
export function took(row) {
  if (row.status === "gateway_crash") {
    return missing("the gateway died meanwhile: nobody knows when it ended");
  }
  const ms = row.finished_at === null ? null : (row.finished_at - row.started_at) / 1000;
  return orDash(duration(ms), OPEN);
}

export function pace(row) {
  return row.generation_tps === null ? missing("tokens or times are not known") : h("span", { title: `from ${row.tps_source}` }, speed(row.generation_tps));
}

export function context(row) {
  if (row.context_percent === null) {
    return missing("the size of the context, or what is used of it, is not known");
  }
  const title = `${count(row.context_used)} of ${count(row.context_total)} tokens`;
  return h("span", { title }, meter(row.context_percent, row.context_percent.toFixed(1)), unit("%"));
}

/** Return the share of the context alone, for a narrow column. */
export function contextShare(row) {
  if (row.context_percent === null) {
    return context(row);
  }
  return h("span", { class: row.context_percent >= 90 ? "tone-bad" : null, title: `${count(row.context_used)} of ${count(row.context_total)} tokens` }, `${row.context_percent.toFixed(0)} %`);
}

/** Return whether a row's stream is in order: its hash is kept and nothing odd was seen. */
export function integrity(row) {
  if (row.anomalies.length > 0) {
    return h("span", { class: "badge warn", title: row.anomalies.join(", ") }, `▲ ${row.anomalies.length}`);
  }
  if (row.stream_sha1 === null) {
    return missing("nothing was sent, or it was not a stream");
  }
  return h("span", { class: "badge exact", title: `nothing odd; hash of all that was sent: ${row.stream_sha1}` }, "✓ sealed");
}

/** Return application and key in short, or null: of a user agent what stands before its first bracket. */
export function clientName(row) {
  const app = row.client_app === null ? null : row.client_app.replace(/ \(.*$/, "");
  return [app, row.key_label ?? row.key_id].filter(Boolean).join(" · ") || null;
}

/** Return the whole of it, or why there is none. */
export function clientTitle(row) {
  return [row.client_app, row.key_label ?? row.key_id].filter(Boolean).join(" · ") || "the client named neither itself nor a key";
}

export function client(row) {
  const name = clientName(row);
  return name === null ? missing(clientTitle(row)) : h("span", { title: clientTitle(row) }, name);
}
