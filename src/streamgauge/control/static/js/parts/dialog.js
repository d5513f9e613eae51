// Questions and short notices. A dialog gives the focus back to what opened it, as the element does by itself.

import { ApiError } from "./api.js";
import { h, setText } from "./dom.js";

const NOTICE_MS = 6000;

/** Say something in the corner; it goes by itself. */
export function notice(text) {
  const line = h("p", null, text);
  document.getElementById("toasts").append(line);
  setTimeout(() => line.remove(), NOTICE_MS);
}

/**
 * Show `title` and `body`; resolve with the form's fields when it is confirmed, with null when it is left. With `act`,
 * resolve with what it makes of the fields; while it is refused, the dialog stays with what was typed and says why.
 */
export function ask(title, body, { confirm = "OK", danger = false, cancel = "Cancel", act = null } = {}) {
  return new Promise((resolve) => {
    const said = h("p", { class: "notice bad", role: "alert", hidden: true });
    let found = null;
    const form = h(
      "form",
      { method: "dialog" },
      h("h2", null, title),
      body,
      said,
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
      resolve(dialog.returnValue === "yes" ? (found ?? fieldsOf(form)) : null);
    });
    if (act !== null) {
      onSubmit(form, dialog, said, async () => {
        found = await act(fieldsOf(form));
      });
    }
    document.body.append(dialog);
    dialog.showModal();
  });
}

function fieldsOf(form) {
  return Object.fromEntries(new FormData(form));
}

/** Do what was confirmed before the dialog goes; nobody leaves it meanwhile, for the answer may be shown this once. */
function onSubmit(form, dialog, said, act) {
  const buttons = form.querySelectorAll(".actions button");
  const wait = (waiting) => buttons.forEach((button) => (button.disabled = waiting));
  dialog.addEventListener("cancel", (event) => (buttons[0].disabled ? event.preventDefault() : undefined));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    wait(true);
    try {
      await act();
      dialog.close("yes");
    } catch (error) {
      if (!(error instanceof ApiError)) {
        throw error;
      }
      setText(said, error.message);
      said.hidden = false;
    } finally {
      wait(false);
    }
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
