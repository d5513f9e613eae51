// The table of live streams. A row is made once and changed in place, and only while it is in sight: a page of 200
// streams costs as much as what a person can see of it. A large update is spread over several frames.

import { send } from "../parts/api.js";
import { ask, notice } from "../parts/dialog.js";
import { fill, h, nextFrame, setMark, setText, svg } from "../parts/dom.js";
import { clientName, clientTitle, dialects, isRenamed } from "../parts/fields.js";
import { age, bytes, count, counted, duration, short, speed } from "../parts/format.js";
import { isEstimate, signOf } from "../parts/marks.js";
import { makeOpen } from "../parts/table.js";

const SLICE = 20;
const REMEMBERED = 30;
const MARGIN = "120px";
const SPARK = { width: 56, height: 18 };

const COLUMNS = [
  ["state", "State"], ["age", "Age", true], ["client", "Client"], ["session", "Session"], ["dialect", "Dialect"],
  ["model", "Model"], ["upstream", "Upstream"], ["attempt", "Try", true], ["ttft", "TTFT", true],
  ["tokens", "Tokens", true], ["tps", "tok/s", true], ["spark", ""], ["context", "Context"], ["bytes", "Bytes", true],
  ["frames", "Frames", true], ["last", "Last", true], ["stop", ""],
];

/** Holds one element a stream, in the order of the newest snapshot. */
export class LiveTable {
  #rows = new Map();
  #body = h("tbody", { role: "rowgroup" });
  #empty = h("div", { class: "empty" });
  #turn = 0;
  #sight = new IntersectionObserver((entries) => entries.forEach(({ target, isIntersecting }) => this.#rows.get(target.dataset.id)?.setSeen(isIntersecting)), { rootMargin: MARGIN });

  constructor() {
    const head = COLUMNS.map(([, title, num]) => h("th", { role: "columnheader", scope: "col", class: num ? "num" : null }, title));
    this.#empty.append(h("p", null, "No stream is running."));
    this.element = h(
      "div",
      { class: "table-box" },
      h("table", { class: "live-table", role: "table", "aria-label": "Live streams" }, h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, head)), this.#body),
      this.#empty,
    );
  }

  /** Show a snapshot, of which `filter` leaves those rows that hold its words. A newer call ends an older one. */
  async update(live, filter, signal) {
    if (live === null) {
      return;
    }
    this.#turn += 1;
    const turn = this.#turn;
    const wanted = live.rows.filter((row) => holds(row, filter));
    this.#drop(new Set(wanted.map((row) => row.id)));
    this.#say(live, wanted.length, filter);
    for (let at = 0; at < wanted.length; at += SLICE) {
      if (at > 0) {
        await nextFrame();
      }
      if (signal.aborted || turn !== this.#turn) {
        return;
      }
      this.#show(wanted.slice(at, at + SLICE));
    }
  }

  #drop(kept) {
    for (const [id, row] of this.#rows) {
      if (!kept.has(id)) {
        this.#sight.unobserve(row.element);
        row.element.remove();
        this.#rows.delete(id);
      }
    }
  }

  #show(streams) {
    for (const stream of streams) {
      let row = this.#rows.get(stream.id);
      if (row === undefined) {
        row = new LiveRow(stream);
        this.#rows.set(stream.id, row);
        this.#body.append(row.element);
        this.#sight.observe(row.element);
      }
      row.update(stream);
    }
  }

  #say(live, shown, filter) {
    const told = live.rows.length;
    const part = told < live.streams ? `the oldest ${count(told)} of ${counted(live.streams, "stream")}` : null;
    this.#empty.hidden = shown > 0 && part === null;
    const none = filter !== "" && told > 0 ? (live.streams === 1 ? "The one stream does not fit the filter." : `None of ${part ?? `${count(told)} streams`} fits the filter.`) : "No stream is running.";
    fill(this.#empty, h("p", null, shown > 0 ? `Only ${part} are looked at here.` : none));
  }
}

function holds(row, filter) {
  const text = [row.id, row.state, row.client_app, row.key_label, row.session_id, row.requested_model, row.upstream_model, row.upstream].join("\n");
  return filter === "" || text.toLowerCase().includes(filter.toLowerCase());
}

/** One stream's line; each cell keeps its nodes, and only their texts change. Out of sight it waits. */
class LiveRow {
  #stream;
  #seen = false;
  #cells = new Map();
  #speeds = [];
  #sign = h("span", { class: "sign", "aria-hidden": "true" });
  #word = h("span");
  #bar = h("i");
  #percent = h("span");
  #spark = svg("polyline", { fill: "none" });

  constructor(stream) {
    this.#stream = stream;
    this.element = h("tr", { role: "row", "data-id": stream.id }, COLUMNS.map(([name, , num]) => this.#cell(name, num)));
    makeOpen(this.element, `/requests/${encodeURIComponent(stream.id)}`);
    fill(this.#cells.get("state"), h("span", { class: "state" }, this.#sign, this.#word));
    fill(this.#cells.get("context"), h("span", { class: "meter", "aria-hidden": "true" }, this.#bar), " ", this.#percent);
    fill(this.#cells.get("spark"), svg("svg", { class: "spark", width: SPARK.width, height: SPARK.height, "aria-hidden": "true" }, this.#spark));
    const stop = { type: "button", class: "small danger", title: "End this stream", on: { click: () => stopStream(stream.id) } };
    fill(this.#cells.get("stop"), h("button", stop, "Stop"));
    this.#draw();
  }

  /** Take the newest numbers. */
  update(stream) {
    this.#stream = stream;
    this.#remember(stream.generation_tps);
    if (this.#seen) {
      this.#draw();
    }
  }

  /** Learn whether a person can see this line. */
  setSeen(seen) {
    this.#seen = seen;
    if (seen) {
      this.#draw();
    }
  }

  #cell(name, num) {
    const cell = h("td", { role: "cell", class: num ? "num" : null });
    this.#cells.set(name, cell);
    return cell;
  }

  #draw() {
    const stream = this.#stream;
    const [sign, tone] = signOf(stream.state);
    setText(this.#sign, sign);
    setText(this.#word, stream.state);
    setMark(this.#sign.parentElement, "class", `state tone-${tone}`);
    for (const [name, [text, why]] of Object.entries(textsOf(stream))) {
      const cell = this.#cells.get(name);
      setText(cell, text ?? "–");
      setMark(cell, "title", text === null ? why : (why ?? text));
    }
    setMark(this.#cells.get("tokens"), "class", isEstimate(stream.usage_source) && stream.output_tokens !== null ? "num estimate" : "num");
    this.#drawContext(stream);
    this.#drawSpeeds();
  }

  #drawContext(stream) {
    const percent = stream.context_percent;
    const known = percent !== null;
    setMark(this.#bar.parentElement, "class", !known ? "meter unknown" : percent >= 90 ? "meter bad" : percent >= 75 ? "meter warn" : "meter");
    this.#bar.style.width = known ? `${Math.min(100, percent)}%` : "0";
    setText(this.#percent, known ? `${percent.toFixed(0)} %` : "–");
    const title = known ? `${count(stream.context_used)} of ${count(stream.context_total)} tokens` : "size or use of the context is not known yet";
    setMark(this.#cells.get("context"), "title", title);
  }

  #remember(tps) {
    if (tps !== null) {
      this.#speeds.push(tps);
      this.#speeds.splice(0, this.#speeds.length - REMEMBERED);
    }
  }

  #drawSpeeds() {
    const top = 1.2 * Math.max(...this.#speeds, 1);
    const step = SPARK.width / (REMEMBERED - 1);
    const points = this.#speeds.map((value, at) => `${(at * step).toFixed(1)},${(SPARK.height - 1 - (value / top) * (SPARK.height - 3)).toFixed(1)}`);
    this.#spark.setAttribute("points", points.join(" "));
  }
}

/** Return each cell's text and what hovering tells: the reason of a dash, or what is cut off. */
function textsOf(stream) {
  const served = stream.upstream_model ?? stream.response_model;
  const asked = stream.requested_model;
  const renamed = isRenamed(stream, served);
  const dialect = dialects(stream);
  const exactness = stream.usage_source === "counted" ? "so far, counted here: at most the tokens" : stream.usage_source === "running" ? "so far, the upstream's running count" : "the upstream's number";
  return {
    age: [age(stream.age_ms), null],
    client: [clientName(stream), clientTitle(stream)],
    session: [stream.session_id, "the request named no session"],
    dialect: [typeof dialect === "string" ? dialect : null, "not known"],
    model: [renamed ? `${asked} → ${served}` : (served ?? asked), renamed ? `asked for ${asked}, served by ${served}` : (asked ?? "the request named no model")],
    upstream: [stream.upstream, "no upstream has been called yet"],
    attempt: [stream.attempt === null ? null : String(stream.attempt), "no attempt yet"],
    ttft: [duration(stream.ttft_ms), "no content yet"],
    tokens: [short(stream.output_tokens), stream.output_tokens === null ? "nothing counted yet" : exactness],
    tps: [speed(stream.generation_tps), "too few frames yet"],
    bytes: [bytes(stream.bytes_out), "nothing sent yet"],
    frames: [count(stream.frames_out), "nothing sent yet"],
    last: [duration(stream.last_frame_ms), "no content yet"],
  };
}

async function stopStream(id) {
  const question = h("p", null, "Its client is told that the stream was cancelled, and its upstream is closed.");
  if ((await ask("End this stream?", question, { confirm: "End it", danger: true })) === null) {
    return;
  }
  await send("POST", `/streams/${encodeURIComponent(id)}/stop`);
  notice("The stream was ended.");
}
