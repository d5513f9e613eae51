// Tables from columns and rows. A row that can be opened is walked by keyboard.js and clicked alike.

import { fill, h } from "./dom.js";
import { go } from "./place.js";
import { select } from "./keyboard.js";

/**
 * Return a table. A column is {title, cell(row), num, hint, head, wide}; `opens(row)` is the path a row leads to, or null;
 * `faded(row)` whether it stands back, `flagged(row)` whether something is wrong with it. `foot` is a list of cells.
 */
export function table({ label, columns, rows, opens = null, faded = null, flagged = null, foot = null, empty = "Nothing here yet." }) {
  if (rows.length === 0) {
    return h("div", { class: "table-box" }, h("div", { class: "empty" }, emptyText(empty)));
  }
  const body = h("tbody", null, rows.map((row) => bodyRow(row, columns, { opens, faded, flagged })));
  const parts = [h("thead", null, headRow(columns)), body];
  if (foot !== null) {
    parts.push(h("tfoot", null, h("tr", null, foot.map((cell, at) => h("td", { class: columns[at]?.num ? "num" : null }, cell)))));
  }
  return h("div", { class: "table-box", tabindex: opens === null ? null : "-1" }, h("table", { "aria-label": label }, parts));
}

function emptyText(empty) {
  return [empty].flat().map((line) => (line instanceof Node ? line : h("p", null, line)));
}

/** Return the row of titles. */
export function headRow(columns) {
  return h(
    "tr",
    null,
    columns.map(({ title, num, hint, width }) =>
      h("th", { scope: "col", class: num ? "num" : null, title: hint ?? null, style: width ? { width } : null }, title),
    ),
  );
}

function bodyRow(row, columns, { opens, faded, flagged }) {
  const path = opens?.(row) ?? null;
  const line = h(
    "tr",
    { class: [path === null ? "" : "pick", faded?.(row) ? "faded" : "", flagged?.(row) ? "flagged" : ""].filter(Boolean).join(" ") || null },
    columns.map(({ cell, num, head }) => h(head ? "th" : "td", { class: num ? "num" : null, scope: head ? "row" : null }, cell(row))),
  );
  if (path !== null) {
    makeOpen(line, path);
  }
  return line;
}

/** Let a row lead to `path`: by click, by Enter, by its link. */
export function makeOpen(line, path) {
  line.classList.add("pick");
  line.setAttribute("tabindex", "-1");
  line.setAttribute("aria-selected", "false");
  line.addEventListener("open-row", () => go(path));
  line.addEventListener("click", (event) => {
    if (!event.target.closest("a, button, input, summary") && String(getSelection()) === "") {
      select(line);
      go(path);
    }
  });
}

/** Return a panel with a title and what belongs beside it. */
export function panel(title, body, aside = null, bare = false) {
  return h(
    "section",
    { class: "panel" },
    h("header", null, h("h2", null, title), aside === null ? null : h("span", { class: "aside" }, aside)),
    bare ? body : h("div", { class: "body" }, body),
  );
}

/** Return names and values as a list; a value that is null is left out. */
export function facts(pairs) {
  const list = h("dl", { class: "facts" });
  return fill(
    list,
    pairs.filter(([, value]) => value !== null && value !== undefined).map(([name, value]) => [h("dt", null, name), h("dd", null, value)]),
  );
}
