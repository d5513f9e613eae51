// What can be done to an upstream: ask whether it is there, take it out of service, let it serve again.

import { send } from "../parts/api.js";
import { ask, notice } from "../parts/dialog.js";
import { h } from "../parts/dom.js";
import { duration } from "../parts/format.js";

/** Return the buttons of an upstream; `reload` draws it anew. */
export function upstreamActions({ name, drained }, reload) {
  return h("span", { class: "row-actions" }, button("Probe", () => probe(name), reload), drained ? button("Enable", () => enable(name), reload) : button("Drain", () => drain(name), reload));
}

function button(text, act, reload) {
  const run = async ({ currentTarget: pressed }) => {
    pressed.disabled = true;
    try {
      await act();
      await reload();
    } finally {
      pressed.disabled = false;
    }
  };
  return h("button", { type: "button", class: "small", on: { click: run } }, text);
}

async function probe(name) {
  const { ok, error, took_ms: took } = await send("POST", `/upstreams/${encodeURIComponent(name)}/probe`);
  notice(ok ? `${name} answered after ${duration(took)}.` : `${name}: ${error}`);
}

async function drain(name) {
  const body = h("p", null, "No new call begins there until somebody enables it, a reload changes its own settings, or the gateway restarts. Streams that run go on to their end. Where no other upstream serves a request, its client is refused.");
  if ((await ask(`Drain ${name}?`, body, { confirm: "Drain", danger: true })) !== null) {
    await send("POST", `/upstreams/${encodeURIComponent(name)}/drain`);
    notice(`${name} gets no new call.`);
  }
}

async function enable(name) {
  if ((await ask(`Enable ${name}?`, h("p", null, "New calls may begin there at once."), { confirm: "Enable" })) !== null) {
    await send("POST", `/upstreams/${encodeURIComponent(name)}/enable`);
    notice(`${name} is called again.`);
  }
}
