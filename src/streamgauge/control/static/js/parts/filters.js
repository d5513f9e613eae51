// Fields that are filters of the address: what is set here stands in the URL, and a URL sets them.

import { h } from "./dom.js";
import { here, setFilters } from "./place.js";

const TYPING_MS = 250;

/** Return the search field of a screen, bound to the filter `name`; `/` leads to it. */
export function searchField(name, placeholder, label) {
  let waiting = null;
  const apply = () => setFilters({ [name]: field.value.trim(), after: null });
  const field = h("input", {
    type: "search",
    placeholder,
    "aria-label": label,
    spellcheck: "false",
    on: {
      input: () => {
        clearTimeout(waiting);
        waiting = setTimeout(apply, TYPING_MS);
      },
      keydown: (event) => {
        if (event.key === "Enter") {
          clearTimeout(waiting);
          apply();
          field.blur();
        }
      },
    },
  });
  field.value = here().query.get(name) ?? "";
  return field;
}

/** Return a select bound to the filter `name`. `options` are [value, text]; the first is the default, "" in the URL. */
export function selectField(name, label, options) {
  const field = h(
    "select",
    { "aria-label": label, on: { change: () => setFilters({ [name]: field.value === options[0][0] ? null : field.value, after: null }, true) } },
    options.map(([value, text]) => h("option", { value }, text)),
  );
  const wanted = here().query.get(name) ?? options[0][0];
  if (!options.some(([value]) => value === wanted)) {
    field.append(h("option", { value: wanted }, wanted));
  }
  field.value = wanted;
  return h("label", null, label, field);
}

/** Return a short text field bound to the filter `name`. */
export function textField(name, label, placeholder) {
  const field = h("input", {
    placeholder,
    "aria-label": label,
    spellcheck: "false",
    size: 11,
    on: { change: () => setFilters({ [name]: field.value.trim(), after: null }, true) },
  });
  field.value = here().query.get(name) ?? "";
  return field;
}

/** Return the glob that fits `name` and nothing else: a client may have put a glob's signs into it. */
export function globOf(name) {
  return name.replace(/[*?[]/g, "[$&]");
}

const HOUR = 3_600_000_000;

export const RANGES = [
  ["24h", "last 24 h", 24 * HOUR],
  ["1h", "last hour", HOUR],
  ["7d", "last 7 days", 7 * 24 * HOUR],
  ["30d", "last 30 days", 30 * 24 * HOUR],
  ["90d", "last 90 days", 90 * 24 * HOUR],
  ["all", "all time", null],
];

/** Return since in µs of the range that the URL names, or null for all time. */
export function sinceOf(query, fallback) {
  const wanted = query.get("range") ?? fallback;
  const [, , span] = RANGES.find(([name]) => name === wanted) ?? RANGES[0];
  return span === null ? null : Date.now() * 1000 - span;
}

/** Return the ranges as options, `first` in front as the default. */
export function rangeOptions(first) {
  const options = RANGES.map(([name, text]) => [name, text]);
  return [options.find(([name]) => name === first), ...options.filter(([name]) => name !== first)];
}
