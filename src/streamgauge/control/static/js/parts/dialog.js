// Questions and short notices. A dialog gives the focus back to what opened it, as the element does by itself.

import { h } from "./dom.js";

const NOTICE_MS = 6000;

/** Say something in the corner; it goes by itself. */
export function notice(text) {
  const line = h("p", null, text);
  document.getElementById("toasts").append(line);
  setTimeout(() => line.remove(), NOTICE_MS);
}

/** Show `title` and `body`; resolve with the form's fields when it is confirmed, with null when it is left. */
export function ask(title, body, { confirm = "OK", danger = false, cancel = "Cancel" } = {}) {
  return new Promise((resolve) => {
    const form = h(
      "form",
      { method: "dialog" },
      h("h2", null, title),
      body,
      h(
        "div",
        { class: "actions" },
        cancel === null ? null : h("button", { type: "button", on: { click: () => dialog.close("") } }, cancel),
        h("button", { class: danger ? "danger" : "primary", value: "yes" }, confirm),
      ),
    );
    const dialog = h("dialog", { "aria-label": title }, form);
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes" ? Object.fromEntries(new FormData(form)) : null);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Copy `text`, and say so. Without the clipboard, which needs a safe context, show it. */
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    notice(`${what} copied`);
  } catch {
    await ask(what, h("pre", { class: "secret" }, text), { confirm: "Close", cancel: null });
  }
}
