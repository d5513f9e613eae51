// Health and configuration: what runs, what it runs with and where each setting is from, what lacks a price.

import { read, send } from "../parts/api.js";
import { copy, notice } from "../parts/dialog.js";
import { fill, h } from "../parts/dom.js";
import { searchField } from "../parts/filters.js";
import { age, bytes, count, counted, day, duration, moment } from "../parts/format.js";
import { missing, orDash, state } from "../parts/marks.js";
import { here, setFilters } from "../parts/place.js";
import { facts, panel, table } from "../parts/table.js";
import { doctorPanel } from "./doctor.js";
import { ago } from "./strip.js";

async function open({ root, signal, feed }) {
  let shown = await show(root, signal);
  feed.on(
    "config",
    async ({ version, error }) => {
      if (version !== shown.version || error !== shown.error) {
        shown = { ...shown, version, error };
        shown = await show(root, signal);
      }
    },
    signal,
  );
  return { filtered: () => shown.draw() };
}

/** Ask for everything and draw it; return which configuration it is, and how to draw its settings again. */
async function show(root, signal) {
  const settings = h("div", { class: "stack" });
  const [health, config, doctor] = await Promise.all([read("/health", {}, signal), read("/config", {}, signal), doctorPanel(signal)]);
  fill(
    root,
    h("div", { class: "screen-head" }, h("h1", null, "Health and configuration"), h("span", { class: "grow" }), searchField("q", "Filter settings  /", "Filter settings")),
    config.error === null ? null : h("p", { class: "notice bad", role: "status" }, `The file on disk is not in use: ${config.error}`, config.problems > 1 ? ` (${counted(config.problems, "problem")})` : null),
    h("div", { class: "columns" }, panel("Ledger", ledger(health.ledger)), panel("Gateway", gateway(health))),
    h("div", { class: "columns" }, panel("Prices", prices(health)), panel("Exporters", exporters(health.exporters), null, true)),
    doctor,
    panel("Configuration in force", [configHead(config), settings], reloadButton(), false),
  );
  const draw = () => fill(settings, settingsTable(config, here().query.get("q") ?? "", here().query.get("defaults") === "yes"));
  draw();
  return { version: config.version, error: config.error, draw };
}

function ledger(ledger) {
  const stats = Object.entries(ledger.stats ?? {}).map(([name, value]) => [name.replaceAll("_", " "), statistic(value)]);
  return [
    facts([
      ["State", ledger.healthy ? state("ok") : [state("unhealthy"), ` ${ledger.reason ?? ""}`]],
      ["File", h("span", { class: "mono" }, ledger.path ?? "–")],
      ["Size", [orDash(bytes(ledger.bytes), "not known"), h("span", { class: "dim" }, ` and ${bytes(ledger.wal_bytes) ?? "–"} of write-ahead log`)]],
      ["Rows since", orDash(moment(ledger.oldest_at), "it is empty")],
      ["Schema", count(ledger.schema)],
    ]),
    h("details", null, h("summary", null, "Counters"), facts(stats)),
  ];
}

function statistic(value) {
  return typeof value === "number" ? (Number.isInteger(value) ? count(value) : value.toFixed(3)) : value === null ? missing("not known") : String(value);
}

function gateway({ version, started_at: started, runtime }) {
  const rows = [
    ["Version", version],
    ["Running for", [age(Date.now() - started / 1000), h("span", { class: "dim" }, ` since ${moment(started)}`)]],
  ];
  if (runtime === null) {
    return facts([...rows, ["Data loop", state("unhealthy", "it does not answer")]]);
  }
  return facts([
    ...rows,
    ["Data loop late by", duration(runtime.loop_lag_ms)],
    ["Streams", `${count(runtime.streams)}, ${count(runtime.drains)} of them read on without their client`],
    ["Connections", `${count(runtime.sockets_client)} of clients, ${count(runtime.sockets_upstream)} to upstreams (${count(runtime.pool_idle)} idle)`],
    ["Descriptors", orDash(count(runtime.descriptors), "this system does not tell")],
    ["Ledger queue", count(runtime.ledger_queue)],
    ["Spool", bytes(runtime.spool)],
  ]);
}

function prices({ prices: known, unknown_models: unknown }) {
  return [
    facts([
      ["List", ["genai-prices ", known.list_version, ", ", listAge(known.list_installed_at)]],
      ["Of the configuration", count(known.configured)],
    ]),
    unknown.length === 0 ? h("p", { class: "tone-ok" }, "✓ every model of the last 30 days has a price") : unknownTable(unknown),
  ];
}

/** The list has no date of its own: it is at least as old as its file. */
function listAge(since) {
  if (since === null) {
    return missing("its file has no date");
  }
  return h("span", { title: "since its file is on this machine; the prices are at least as old" }, `here since ${day(since)}, ${ago(since)}`);
}

function unknownTable(unknown) {
  const columns = [
    { title: "Model without a price", head: true, cell: ({ model }) => orDash(model, "the answer named none") },
    { title: "Upstream", cell: ({ upstream, kind }) => `${upstream ?? "–"}${kind ? ` (${kind})` : ""}` },
    { title: "Exchanges", num: true, cell: ({ exchanges }) => count(exchanges) },
    { title: "", cell: ({ snippet }) => h("button", { type: "button", class: "small", title: snippet, on: { click: () => copy(snippet, "Price for the configuration") } }, "Add a price") },
  ];
  return table({ label: "Models without a price", columns, rows: unknown });
}

function exporters(found) {
  const columns = [
    { title: "Exporter", head: true, cell: ({ name }) => name },
    { title: "Yet to send", num: true, cell: ({ behind }) => orDash(count(behind), "not known") },
    { title: "State", cell: ({ error }) => (error === null ? state("ok") : h("span", { title: error }, state("unhealthy"), " ", error)) },
  ];
  return table({ label: "Exporters", columns, rows: found, empty: "None is configured; /metrics is always there." });
}

function configHead(config) {
  const { applied, unchanged, refused } = config.reloads;
  return [
    facts([
      ["File", h("span", { class: "mono" }, config.file ?? "none: defaults and environment")],
      ["Version", [h("span", { class: "mono" }, config.version), " ", state(config.state)]],
      ["Read again", `${counted(applied, "time") ?? 0} applied, ${count(unchanged) ?? 0} unchanged, ${count(refused) ?? 0} refused`],
    ]),
    config.warnings.map((warning) => h("p", { class: "notice" }, warning)),
  ];
}

function reloadButton() {
  return h("button", { type: "button", class: "small", on: { click: reload } }, "Read it again");
}

async function reload() {
  const { changed, needs_restart: left } = await send("POST", "/admin/reload");
  notice(changed ? `Applied.${left.length > 0 ? ` Needs a restart: ${left.join(", ")}` : ""}` : "Nothing has changed.");
}

/** What nobody set is left out until it is asked for, or looked for by name. */
function settingsTable({ settings }, filter, defaults) {
  const wanted = filter.toLowerCase();
  const every = defaults || wanted !== "";
  const columns = [
    { title: "Setting", head: true, cell: ({ path }) => h("span", { class: "mono" }, path) },
    { title: "Value", cell: ({ value }) => h("span", { class: "mono", title: textOf(value) }, textOf(value)) },
    { title: "From", cell: ({ origin }) => h("span", { class: origin === "default" ? "dim" : "mono" }, origin) },
    { title: "A change", cell: ({ reload }) => h("span", { class: "dim" }, reloadText(reload)) },
  ];
  const rows = settings.filter(({ path, value, origin }) => (every || origin !== "default") && `${path}\n${textOf(value)}\n${origin}`.toLowerCase().includes(wanted));
  const hidden = settings.filter(({ origin }) => origin === "default").length;
  const box = h("input", { type: "checkbox", on: { change: () => setFilters({ defaults: box.checked ? "yes" : null }, true) } });
  box.checked = defaults;
  return [
    h("label", { class: "settings-note" }, box, `show the ${counted(hidden, "setting")} that ${hidden === 1 ? "has its" : "have their"} default`),
    table({ label: "Settings", columns, rows, faded: ({ origin }) => origin === "default", empty: "No setting fits the filter." }),
  ];
}

function textOf(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function reloadText(reload) {
  return typeof reload === "boolean" ? (reload ? "is taken at once" : "needs a restart") : String(reload);
}

export const health = { name: "health", title: () => "Health", open };
