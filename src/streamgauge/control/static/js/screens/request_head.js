// What one exchange came to, in a sentence and seven figures: the same at the head of each of its pages.

import { h } from "../parts/dom.js";
import * as field from "../parts/fields.js";
import { count } from "../parts/format.js";
import { costBadge, sourceBadge, state, unit } from "../parts/marks.js";

/** Return how the exchange ended, and why. */
export function ending({ request, why }) {
  return h("p", { class: "why" }, state(request.status), h("span", null, why));
}

/** Return the strip of its figures. */
export function numbers(row) {
  const cell = (name, value, more = null) => h("div", null, h("dt", null, name), h("dd", null, value, more === null ? null : h("small", null, more)));
  return h(
    "dl",
    { class: "strip" },
    cell("First token", field.ttft(row), "after the request was read"),
    cell("Took", field.took(row), row.streaming ? "streamed" : "answered whole"),
    cell("Read", field.input(row), sourceBadge(row.input_source)),
    cell("Written", field.output(row), sourceBadge(row.usage_source)),
    cell("Speed", [field.pace(row), row.generation_tps === null ? null : unit("tok/s")], row.tps_source === null ? null : `from ${row.tps_source}`),
    cell("Cost", field.price(row), costBadge(row.cost_source)),
    cell("Context", field.context(row), row.context_total === null ? null : `of ${count(row.context_total)} tokens`),
  );
}
