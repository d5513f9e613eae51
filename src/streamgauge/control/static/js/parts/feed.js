// The server's events, over one connection for all screens. Keeps the newest of each kind for who comes later.

import { addressOf, knock } from "./api.js";

const KINDS = ["live", "summary", "closed", "health", "config", "gone"];
const KEPT = new Set(["live", "summary", "health", "config"]);
const RETRY_MS = 3000;
const MISSED = JSON.stringify({ rows: [], more: true });

/** Holds at most one connection; `EventSource` mends a broken one, this class one that was refused. */
export class Feed {
  #listeners = new Map(KINDS.map((kind) => [kind, new Set()]));
  #last = new Map();
  #source = null;
  #states = new Set();
  #wasOpen = false;
  state = "connecting";

  /** Connect, and stay so. */
  open() {
    this.close();
    const source = new EventSource(addressOf("/events"));
    this.#source = source;
    source.addEventListener("open", () => this.#opened());
    source.addEventListener("error", () => {
      this.#become("lost");
      if (source.readyState === EventSource.CLOSED) {
        setTimeout(() => this.#again(source), RETRY_MS);
      }
    });
    for (const kind of KINDS) {
      source.addEventListener(kind, (event) => this.#take(kind, event.data));
    }
  }

  /** Disconnect: a browser gives a host few connections, and a page in the cache needs none. */
  close() {
    this.#source?.close();
    this.#source = null;
  }

  /** Between two connections rows may have closed that nobody told us of. */
  #opened() {
    this.#become("live");
    if (this.#wasOpen) {
      this.#take("closed", MISSED);
    }
    this.#wasOpen = true;
  }

  /** An `EventSource` does not tell why it was refused; a plain request does, and leads to the login where that has run out. */
  async #again(refused) {
    if (this.#source !== refused) {
      return;
    }
    await knock("/events").catch(() => undefined);
    if (this.#source === refused) {
      this.open();
    }
  }

  /** Call `listener` with each event of `kind`, and at once with the last one, until `signal` ends it. */
  on(kind, listener, signal) {
    const listeners = this.#listeners.get(kind);
    listeners.add(listener);
    signal.addEventListener("abort", () => listeners.delete(listener));
    if (this.#last.has(kind)) {
      listener(this.#last.get(kind));
    }
  }

  /** Return the newest event of `kind`, or null. */
  last(kind) {
    return this.#last.get(kind) ?? null;
  }

  /** Call `listener` whenever the connection changes: connecting, live, silent, lost. */
  onState(listener) {
    this.#states.add(listener);
    listener(this.state);
  }

  #take(kind, text) {
    const data = JSON.parse(text);
    if (KEPT.has(kind)) {
      this.#last.set(kind, data);
    }
    this.#become(kind === "gone" ? "silent" : "live");
    for (const listener of [...this.#listeners.get(kind)]) {
      listener(data);
    }
  }

  #become(state) {
    if (state !== this.state) {
      this.state = state;
      this.#states.forEach((listener) => listener(state));
    }
  }
}
