// What keys may spend beside what they have spent, as bars. The sums are the API's, of today and of this month, by UTC.

import { h } from "../parts/dom.js";
import { money } from "../parts/format.js";
import { meter, missing, unit } from "../parts/marks.js";
import { table } from "../parts/table.js";

const BUDGET = /^\s*([0-9]+(?:\.[0-9]+)?)\s+(\S+)\s*$/;
const NANO = 1e9;

/** What a budget is for: its limit and its sum in a key of the API. */
export const DAY = { limit: "per_day", sum: "day", title: "Today" };
export const MONTH = { limit: "per_month", sum: "month", title: "This month" };

/** Return {amount, currency} of a text such as `5 USD`, or null. */
function budgetOf(text) {
  const found = text === null ? null : BUDGET.exec(text);
  return found === null ? null : { amount: Number(found[1]) * NANO, currency: found[2] };
}

/** Return a key's day or month as a bar, or what it spent where it has no budget, currencies side by side. */
export function budgetBar(key, span) {
  const budget = budgetOf(key[span.limit]);
  const spent = Object.entries(key[span.sum]?.costs ?? {}).map(spentIn);
  if (budget === null || budget.amount === 0) {
    return spent.length === 0 ? missing(`nothing with a price ${span.title.toLowerCase()}`) : spent.map(amount);
  }
  const used = spent.find(({ currency }) => currency === budget.currency)?.nano ?? 0;
  return meter((100 * used) / budget.amount, [money(used), h("span", { class: "dim" }, ` of ${money(budget.amount)}`), unit(budget.currency)]);
}

/** Estimates count against a budget, so they are in here, with their sign. */
function spentIn([currency, cost]) {
  const parts = [cost.exact_nano, cost.estimated_nano].filter((part) => part !== null);
  return { currency, nano: parts.reduce((total, part) => total + part, 0), estimated: cost.estimated_nano !== null };
}

function amount({ nano, currency, estimated }, at) {
  return [at === 0 ? null : ", ", h("span", { class: estimated ? "estimate" : null }, money(nano), unit(currency))];
}

/** Return all keys with a budget as a table of bars, or null when none has one. */
export function budgetTable(keys) {
  const limited = keys.filter((key) => key.state === "active" && [DAY, MONTH].some(({ limit }) => budgetOf(key[limit]) !== null));
  const columns = [
    { title: "Key", head: true, cell: ({ label }) => label },
    ...[DAY, MONTH].map((span) => ({ title: span.title, hint: "spent, of what it may spend, UTC", cell: (key) => budgetBar(key, span) })),
  ];
  return limited.length === 0 ? null : table({ label: "Budgets", columns, rows: limited, opens: (key) => `/requests?key=${encodeURIComponent(key.id)}` });
}
