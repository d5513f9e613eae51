// The strip of numbers above the live streams, from the feed's summary and its newest moment.

import { fill, h } from "../parts/dom.js";
import { age, bytes, count, speed } from "../parts/format.js";
import { missing, orDash, unit } from "../parts/marks.js";
import { costs, estimatedCosts, failures } from "../parts/sums.js";

const SILENT = "the gateway's data loop does not answer";

/** Draw the strip; what has not been told yet is a dash. */
export function drawStrip(strip, summary, live) {
  fill(strip, summary === null ? cell("Live streams", streams(live)) : cellsOf(summary, live));
}

function cellsOf(summary, live) {
  const today = summary.today;
  return [
    cell("Live streams", streams(live ?? summary)),
    cell("Requests / min", count(summary.requests_last_minute)),
    cell("Tokens / s", orDash(speed(summary.tokens_per_second), noSpeed(summary))),
    cell("Cost today, exact", costs(today), estimatedCosts(today)),
    cell("Errors today", failures(today), `${count(today.failures)} of ${count(today.exchanges)}`),
    cell("Unpriced today", count(today.unpriced)),
    cell("Ledger queue", ledger(summary.ledger), summary.ledger.spool ? `${bytes(summary.ledger.spool)} in the spool` : null),
  ];
}

function noSpeed({ streams: running }) {
  if (running === null) {
    return SILENT;
  }
  return running === 0 ? "no stream is running" : "no running stream's speed is known yet";
}

function streams(now) {
  return now === null ? missing("not told yet") : orDash(count(now.streams), SILENT);
}

function ledger(state) {
  if (!state.healthy) {
    return h("span", { class: "tone-bad", title: state.reason ?? null }, "▲ ailing");
  }
  return [count(state.queue), unit(state.queue === 1 ? "write" : "writes")];
}

function cell(name, value, more = null) {
  return h("div", null, h("dt", null, name), h("dd", null, value, more === null ? null : h("small", null, more)));
}

/** Return how long ago, in words. */
export function ago(us) {
  return us === null ? null : `${age(Date.now() - us / 1000)} ago`;
}
