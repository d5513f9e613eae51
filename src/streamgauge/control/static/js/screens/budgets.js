// What keys may spend beside what they have spent, as bars. The sums are the API's, of this month.

import { h } from "../parts/dom.js";
import { money } from "../parts/format.js";
import { meter, missing, unit } from "../parts/marks.js";

const BUDGET = /^\s*([0-9]+(?:\.[0-9]+)?)\s+(\S+)\s*$/;
const NANO = 1e9;

/** Return {amount, currency} of a text such as `5 USD`, or null. */
function budgetOf(text) {
  const found = text === null ? null : BUDGET.exec(text);
  return found === null ? null : { amount: Number(found[1]) * NANO, currency: found[2] };
}

/** Return a key's month as a bar, or what it spent where it has no budget. */
export function monthBar(key) {
  const budget = budgetOf(key.per_month);
  const spent = spentBy(key, budget?.currency ?? null);
  if (budget === null || budget.amount === 0) {
    return spent === null ? missing("nothing with a price this month") : amount(spent);
  }
  const used = spent?.nano ?? 0;
  return meter((100 * used) / budget.amount, [money(used), h("span", { class: "dim" }, ` of ${money(budget.amount)}`), unit(budget.currency)]);
}

/** Estimates count against a budget, so they are in here, with their sign. */
function spentBy(key, currency) {
  const found = Object.entries(key.month?.costs ?? {}).find(([name]) => currency === null || name === currency);
  if (found === undefined) {
    return null;
  }
  const [name, cost] = found;
  const parts = [cost.exact_nano, cost.estimated_nano].filter((part) => part !== null);
  return { currency: name, nano: parts.reduce((sum, part) => sum + part, 0), estimated: cost.estimated_nano !== null };
}

function amount({ nano, currency, estimated }) {
  return h("span", { class: estimated ? "estimate" : null }, money(nano), unit(currency));
}

/** Return a list of all keys with a monthly budget, or null when none has one. */
export function budgetList(keys) {
  const limited = keys.filter((key) => budgetOf(key.per_month) !== null);
  return limited.length === 0 ? null : h("dl", { class: "facts" }, limited.map((key) => [h("dt", null, key.label), h("dd", null, monthBar(key))]));
}
