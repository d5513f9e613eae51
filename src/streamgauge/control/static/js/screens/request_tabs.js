// The two pages of one exchange, as tabs above both.

import { h } from "../parts/dom.js";

/** Return the two pages of an exchange. */
export function requestTabs(id, current) {
  const path = `/requests/${encodeURIComponent(id)}`;
  const tab = (name, text, href) => h("a", { href, "aria-current": name === current ? "page" : null }, text);
  return h(
    "nav",
    { class: "tabs", "aria-label": "Pages of this exchange" },
    tab("exchange", "Exchange", path),
    tab("frames", "Frames and integrity", `${path}/frames`),
    h("span", { class: "mono dim tab-id" }, id),
  );
}
