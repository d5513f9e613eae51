// A group's numbers as cells: exact totals apart from estimates, and how many exchanges said nothing.

import { h } from "./dom.js";
import { count, counted, money, short } from "./format.js";
import { missing, unit } from "./marks.js";

/** Return the exact total of a sum of tokens; a dash when no exchange had an exact number. */
export function exact(sum) {
  if (sum?.exact === null || sum?.exact === undefined) {
    return missing("no exchange had the provider's final numbers");
  }
  return h("span", { title: `${counted(sum.exact, "token")}, the provider's final numbers` }, short(sum.exact));
}

/** Return the total of estimates, with its sign. */
export function estimated(sum) {
  if (sum?.estimated === null || sum?.estimated === undefined) {
    return missing("nothing is estimated");
  }
  return h("span", { class: "estimate", title: `${counted(sum.estimated, "token")}, not the provider's final numbers: counted here or cut off (at most the truth), or from timings` }, short(sum.estimated));
}

/** Return how many exchanges had no number, as a badge; nothing when each had one. */
export function unknowns(sum) {
  return sum?.unknown ? h("span", { class: "badge warn", title: `${counted(sum.unknown, "exchange")} without a number` }, `${short(sum.unknown)} unknown`) : null;
}

/** Return one line a currency; they are never added up. `kind` is exact or estimated. */
export function costs(group, kind = "exact") {
  const lines = Object.entries(group.costs).filter(([, cost]) => cost[kind] !== null);
  if (lines.length === 0) {
    return missing(kind === "exact" ? "nothing has a price and the provider's numbers" : "no cost rests on an estimate");
  }
  return lines.map(([currency, cost], at) => [
    at === 0 ? null : ", ",
    h("span", { class: kind === "estimated" ? "estimate" : null, title: `${cost[kind]} ${currency}` }, money(cost[`${kind}_nano`]), unit(currency)),
  ]);
}

/** Return the costs that rest on an estimate, for a line below the exact ones; null where there is none. */
export function estimatedCosts(group) {
  const some = Object.values(group.costs).some((cost) => cost.estimated !== null);
  return some ? [costs(group, "estimated"), " estimated"] : null;
}

/** Return the badge that counts exchanges without a price. */
export function unpriced(group) {
  return group.unpriced ? h("span", { class: "badge warn", title: "exchanges without a cost: no price, or no counts" }, `${short(group.unpriced)} unpriced`) : null;
}

/** Return failures as a share of all that ended, or a dash. */
export function failures(group) {
  const ended = group.successes + group.failures;
  if (ended === 0) {
    return missing("nothing has ended yet");
  }
  const part = (100 * group.failures) / ended;
  return h("span", { class: part >= 10 ? "tone-bad" : part >= 2 ? "tone-warn" : null, title: `${count(group.failures)} of ${count(ended)}` }, `${part.toFixed(1)} %`);
}

/** Return the share of the read tokens that came from a cache, where both are exact. */
export function cacheHits(group) {
  const [read, input] = [group.cache_read?.exact, group.input?.exact];
  if (read === null || read === undefined || !input) {
    return missing("no exchange stated what came from a cache");
  }
  return h("span", { title: `${count(read)} of ${count(input)} input tokens` }, `${((100 * read) / input).toFixed(1)} %`);
}
