// Client keys: who has one, what it may, what it spent. A key's text is shown once, in the answer that made it.

import { read, send } from "../parts/api.js";
import { ask, copy } from "../parts/dialog.js";
import { fill, h } from "../parts/dom.js";
import { searchField } from "../parts/filters.js";
import { count, day, recent } from "../parts/format.js";
import { missing, orDash, state } from "../parts/marks.js";
import { here } from "../parts/place.js";
import { table } from "../parts/table.js";
import { DAY, MONTH, budgetBar } from "./budgets.js";

const LIMITS = [
  ["models", "Models", "globs, by commas: qwen3-*,gpt-5-mini"],
  ["max_streams", "Streams at once", "number"],
  ["rpm", "Requests a minute", "number"],
  ["tpm", "Tokens a minute", "number"],
  ["per_day", "Money a day", "5 USD"],
  ["per_month", "Money a month", "100 USD"],
];
const NUMBERS = new Set(["max_streams", "rpm", "tpm"]);
const NONE = "no limit";
const DAY_US = 86_400_000_000;

async function open({ root, signal }) {
  const list = h("div");
  fill(
    root,
    h("div", { class: "screen-head" }, h("h1", null, "Client keys"), h("span", { class: "grow" }), searchField("q", "Filter keys  /", "Filter keys"), h("button", { type: "button", class: "primary", on: { click: () => create().then(load) } }, "New key")),
    list,
  );
  let keys = [];
  const draw = () => {
    const wanted = (here().query.get("q") ?? "").toLowerCase();
    fill(list, keysTable(keys.filter((key) => [key.id, key.label, key.shown, key.state].join("\n").toLowerCase().includes(wanted)), load));
  };
  async function load() {
    ({ keys } = await read("/keys", {}, signal));
    draw();
  }
  await load();
  return { filtered: draw };
}

function keysTable(keys, reload) {
  const limit = (name, title) => ({ title, hint: LIMITS.find(([each]) => each === name)[1], num: true, cell: (key) => limitText(key[name]) });
  const columns = [
    { title: "Label", head: true, cell: (key) => h("span", { title: key.id }, key.label) },
    { title: "Key", cell: (key) => h("span", { class: "mono" }, `${key.shown}…`) },
    { title: "State", cell: (key) => [state(key.state), expiry(key)] },
    { title: "Created", cell: (key) => day(key.created_at) },
    { title: "Last used", cell: (key) => orDash(recent(key.last_used_at), "never") },
    { title: "Models", cell: (key) => (key.models?.length ? key.models.join(", ") : h("span", { class: "dim" }, "all")) },
    limit("max_streams", "Streams"),
    limit("rpm", "Req/min"),
    limit("tpm", "Tok/min"),
    ...[DAY, MONTH].map((span) => ({ title: span.title, num: true, cell: (key) => budgetBar(key, span), hint: "spent, of what it may spend, UTC" })),
    { title: "", cell: (key) => actions(key, reload) },
  ];
  return table({ label: "Client keys", columns, rows: keys, opens: (key) => `/requests?key=${encodeURIComponent(key.id)}`, faded: (key) => key.state !== "active", empty: ["No key yet.", "Without keys, whoever reaches the data listener may use it."] });
}

function expiry({ state: now, expires_at: at }) {
  return at === null || now === "revoked" ? null : h("span", { class: "dim" }, ` ${now === "expired" ? "on" : "until"} ${day(at)}`);
}

function limitText(value) {
  return value === null ? missing(NONE) : typeof value === "number" ? count(value) : value;
}

function actions(key, reload) {
  if (key.state === "revoked") {
    return null;
  }
  const button = (text, act, danger = false) => h("button", { type: "button", class: `small${danger ? " danger" : ""}`, on: { click: () => act(key).then(reload) } }, text);
  return h("span", { class: "row-actions" }, button("Limits", change), button("Rotate", rotate), button("Revoke", revoke, true));
}

function limitFields(key = {}) {
  const field = ([name, title, hint]) => {
    const input = h("input", { name, id: `key-${name}`, placeholder: hint, autocomplete: "off" });
    input.value = Array.isArray(key[name]) ? key[name].join(",") : (key[name] ?? "");
    return [h("label", { for: `key-${name}` }, title), input];
  };
  return LIMITS.map(field);
}

/** Return the limits as the API takes them: an empty field is none. */
function limitsOf(fields) {
  return Object.fromEntries(
    LIMITS.map(([name]) => {
      const text = fields[name].trim();
      if (name === "models") {
        return [name, text === "" ? [] : text.split(",").map((glob) => glob.trim())];
      }
      return [name, text === "" ? null : NUMBERS.has(name) && /^[0-9]+$/.test(text) ? Number(text) : text];
    }),
  );
}

async function create() {
  const label = h("input", { name: "label", id: "key-label", required: true, autocomplete: "off" });
  const days = h("input", { name: "days", id: "key-days", type: "number", min: "1", placeholder: "never" });
  const all = [h("label", { for: "key-label" }, "Label"), label, limitFields(), h("label", { for: "key-days" }, "Expires in days"), days];
  const act = (fields) => {
    const expires = fields.days === "" ? null : Date.now() * 1000 + Number(fields.days) * DAY_US;
    return send("POST", "/keys", { label: fields.label, expires_at: expires, ...limitsOf(fields) });
  };
  const made = await ask("New key", h("div", { class: "fields" }, all), { confirm: "Create", act });
  if (made !== null) {
    await showOnce(made);
  }
}

async function change(key) {
  const act = (fields) => send("PATCH", `/keys/${encodeURIComponent(key.id)}`, limitsOf(fields));
  const done = await ask(`Limits of ${key.label}`, h("div", { class: "fields" }, limitFields(key)), { confirm: "Set", act });
  if (done?.warnings.length) {
    await ask(`Limits of ${key.label}`, h("div", { class: "stack" }, warned(done.warnings)), { confirm: "Close", cancel: null });
  }
}

async function rotate(key) {
  const body = h("div", { class: "stack" }, h("p", null, "It gets a new text. The old one opens for a while longer, so that its users can change over."), h("div", { class: "fields" }, h("label", { for: "key-grace" }, "Minutes"), h("input", { name: "minutes", id: "key-grace", value: "10", type: "number", min: "0" })));
  const act = (fields) => send("POST", `/keys/${encodeURIComponent(key.id)}/rotate`, { grace_seconds: Number(fields.minutes) * 60 });
  const made = await ask(`Rotate ${key.label}?`, body, { confirm: "Rotate", act });
  if (made !== null) {
    await showOnce(made);
  }
}

async function revoke(key) {
  if ((await ask(`Revoke ${key.label}?`, h("p", null, "For good, and at once. Streams that run go on to their end."), { confirm: "Revoke", danger: true })) !== null) {
    await send("POST", `/keys/${encodeURIComponent(key.id)}/revoke`);
  }
}

function warned(warnings) {
  return warnings.map((text) => h("p", { class: "notice", role: "alert" }, `Warning: ${text}.`));
}

async function showOnce({ label, key, warnings = [] }) {
  const body = h("div", { class: "stack" }, h("p", null, `The key of ${label}. It is shown this once, and kept nowhere.`), h("output", { class: "secret" }, key), h("button", { type: "button", on: { click: () => copy(key, "Key") } }, "Copy"), warned(warnings));
  await ask("Key", body, { confirm: "Done", cancel: null });
}

export const keys = { name: "keys", title: () => "Client keys", open };
