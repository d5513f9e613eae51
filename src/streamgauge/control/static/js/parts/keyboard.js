// Keys as in mitmproxy: j and k walk a list, Enter opens, / filters, Esc goes back. Knows no screen.

import { go } from "./place.js";
import { wantsStillness } from "./dom.js";

const JUMPS = { 1: "/", 2: "/requests", 3: "/sessions", 4: "/upstreams", 5: "/usage", 6: "/keys", 7: "/health" };

/** Return the rows that can be walked, in the order of the page. */
function rowsOfScreen() {
  return [...document.querySelectorAll("main tbody tr.pick")].filter((row) => row.offsetParent !== null);
}

function selected(rows) {
  return rows.find((row) => row.getAttribute("aria-selected") === "true") ?? null;
}

/** Select a row and bring it into sight. */
export function select(row) {
  for (const other of document.querySelectorAll('main tr[aria-selected="true"]')) {
    other.setAttribute("aria-selected", "false");
  }
  row.setAttribute("aria-selected", "true");
  row.focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest", behavior: wantsStillness() ? "auto" : "smooth" });
}

function walk(step) {
  const rows = rowsOfScreen();
  if (rows.length === 0) {
    return;
  }
  const at = rows.indexOf(selected(rows));
  const next = at === -1 ? (step > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + step));
  select(rows[next]);
}

function openSelected() {
  selected(rowsOfScreen())?.dispatchEvent(new CustomEvent("open-row", { bubbles: true }));
}

function goBack() {
  const up = document.querySelector("main [data-up]");
  if (up !== null) {
    go(up.getAttribute("href"));
    return;
  }
  for (const row of document.querySelectorAll('main tr[aria-selected="true"]')) {
    row.setAttribute("aria-selected", "false");
  }
}

function focusFilter() {
  const filter = document.querySelector('main input[type="search"]');
  filter?.focus();
  filter?.select();
}

function edge(last) {
  const rows = rowsOfScreen();
  if (rows.length > 0) {
    select(rows[last ? rows.length - 1 : 0]);
  }
}

function clickMarked(key) {
  document.querySelector(`main [data-key="${key}"]:not(:disabled)`)?.click();
}

/** What scrolls by itself when it has the focus; its arrows are left to it. */
const SCROLLS = "pre, [tabindex='0']";

const PLAIN = {
  j: () => walk(1),
  ArrowDown: () => walk(1),
  k: () => walk(-1),
  ArrowUp: () => walk(-1),
  g: () => edge(false),
  G: () => edge(true),
  "/": focusFilter,
  Escape: goBack,
  n: () => clickMarked("n"),
  p: () => clickMarked("p"),
  "?": () => document.querySelector("[data-help]")?.click(),
};

/** Listen from now on. Keys that a field or a dialog needs are left to it. */
export function watchKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]") !== null) {
      return;
    }
    const target = event.target;
    if (target.matches("input, select, textarea")) {
      if (event.key === "Escape") {
        target.blur();
      }
      return;
    }
    const act = actionOf(event.key, target);
    if (act !== null) {
      event.preventDefault();
      act();
    }
  });
}

function actionOf(key, target) {
  if (key === "Enter") {
    return target.matches("a, button, summary") ? null : openSelected;
  }
  if (Object.hasOwn(JUMPS, key)) {
    return () => go(JUMPS[key]);
  }
  if (key.startsWith("Arrow") && (rowsOfScreen().length === 0 || target.matches(SCROLLS))) {
    return null;
  }
  return Object.hasOwn(PLAIN, key) ? PLAIN[key] : null;
}
