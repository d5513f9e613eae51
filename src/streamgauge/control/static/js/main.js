// Starts the dashboard: navigation, one screen at a time, keys, the feed. Knows each screen's address and nothing of it.

import { ApiError, send } from "./parts/api.js";
import { ask, notice } from "./parts/dialog.js";
import { fill, h, setMark, setText } from "./parts/dom.js";
import { Feed } from "./parts/feed.js";
import { watchKeys } from "./parts/keyboard.js";
import { here, onMove, watchPlace } from "./parts/place.js";
import { frames } from "./screens/frames.js";
import { health } from "./screens/health.js";
import { keys } from "./screens/keys.js";
import { live } from "./screens/live.js";
import { request } from "./screens/request.js";
import { requests } from "./screens/requests.js";
import { session } from "./screens/session.js";
import { sessions } from "./screens/sessions.js";
import { upstreams } from "./screens/upstreams.js";
import { usage } from "./screens/usage.js";

const SCREENS = [
  ["Live", "/", "1"],
  ["Requests", "/requests", "2"],
  ["Sessions", "/sessions", "3"],
  ["Upstreams", "/upstreams", "4"],
  ["Usage and cost", "/usage", "5"],
  ["Client keys", "/keys", "6"],
  ["Health", "/health", "7"],
];

const ROUTES = [
  [/^\/$/, live, "/"],
  [/^\/requests$/, requests, "/requests"],
  [/^\/requests\/([^/]+)$/, request, "/requests"],
  [/^\/requests\/([^/]+)\/frames$/, frames, "/requests"],
  [/^\/sessions$/, sessions, "/sessions"],
  [/^\/sessions\/([^/]+)$/, session, "/sessions"],
  [/^\/upstreams$/, upstreams, "/upstreams"],
  [/^\/usage$/, usage, "/usage"],
  [/^\/keys$/, keys, "/keys"],
  [/^\/health$/, health, "/health"],
];

const LINK_STATES = {
  connecting: ["◌", "connecting", "tone-busy"],
  live: ["●", "live updates", "tone-ok"],
  silent: ["▲", "gateway silent", "tone-warn"],
  lost: ["✗", "no connection", "tone-bad"],
};

const HELP = [
  ["j / k", "next, previous row"],
  ["g / G", "first, last row"],
  ["Enter", "open the row"],
  ["/", "filter"],
  ["n / p", "next page, first page"],
  ["Esc", "leave the filter; go back; drop the selection"],
  ["1 – 7", "the screens, from Live to Health"],
  ["?", "this list"],
];

class Dashboard {
  #main = document.getElementById("main");
  #leaving = new AbortController();
  #screen = null;
  #feed = new Feed();

  start() {
    this.#drawNav();
    watchPlace();
    watchKeys();
    onMove((kind) => (kind === "query" && this.#screen?.filtered ? this.#filter(this.#screen) : this.show(kind === "path")));
    document.querySelector("[data-help]").addEventListener("click", showHelp);
    this.#watchFeed();
    this.show(false);
  }

  /** Put up the screen of this address. `moved`: by a person, so the focus goes with it. */
  async show(moved) {
    const { path } = here();
    const [pattern, screen, home] = ROUTES.find(([tried]) => isLegal(path) && tried.test(path)) ?? [null, null, null];
    this.#leaving.abort();
    this.#leaving = new AbortController();
    const { signal } = this.#leaving;
    this.#screen = null;
    this.#markNav(home);
    if (screen === null) {
      fill(this.#main, message("There is no such page.", path));
      return;
    }
    const root = h("div", { class: `screen screen-${screen.name}` });
    const names = pattern.exec(path).slice(1).map(decodeURIComponent);
    document.title = `${screen.title(...names)} · streamgauge`;
    try {
      const found = await screen.open({ root, signal, feed: this.#feed, names });
      if (!signal.aborted) {
        this.#screen = found ?? null;
        fill(this.#main, root);
        this.#main.dataset.shown = location.pathname + location.search;
        scrollTo(0, 0);
        if (moved) {
          this.#main.focus({ preventScroll: true });
        }
      }
    } catch (error) {
      this.#failed(error, signal);
    }
  }

  async #filter(screen) {
    await screen.filtered();
    this.#main.dataset.shown = location.pathname + location.search;
  }

  #failed(error, signal) {
    if (signal.aborted || error.name === "AbortError") {
      return;
    }
    if (!(error instanceof ApiError)) {
      throw error;
    }
    const again = h("button", { type: "button", on: { click: () => this.show(false) } }, "Try again");
    // What was refused as it stands will be again: a mistyped filter in a link must not be a dead end.
    const bare = error.status === 422 && location.search !== "" ? h("a", { href: location.pathname }, "Without filters") : null;
    fill(this.#main, message(error.message, bare ?? again));
  }

  #drawNav() {
    const entry = ([title, path, key]) => h("li", null, h("a", { href: path }, title, h("kbd", { "aria-hidden": "true" }, key)));
    fill(document.getElementById("nav"), SCREENS.map(entry));
  }

  #markNav(home) {
    for (const link of document.querySelectorAll("#nav a")) {
      setMark(link, "aria-current", link.getAttribute("href") === home ? "page" : null);
    }
  }

  #watchFeed() {
    const place = document.getElementById("link-state");
    this.#feed.onState((name) => {
      const [sign, word, tone] = LINK_STATES[name];
      fill(place, h("span", { class: tone, "aria-hidden": "true" }, h("span", { class: "sign" }, sign)), word);
    });
    const always = new AbortController().signal;
    this.#feed.on("summary", ({ version }) => setText(document.getElementById("version"), `version ${version}`), always);
    this.#feed.open();
    addEventListener("pagehide", () => this.#feed.close());
    addEventListener("pageshow", (event) => (event.persisted ? this.#feed.open() : undefined));
  }
}

/** Whether each name in a path can be read; a stray % cannot. */
function isLegal(path) {
  try {
    return decodeURIComponent(path) !== null;
  } catch {
    return false;
  }
}

function message(text, more) {
  return h("div", { class: "empty", role: "alert" }, h("p", null, text), h("p", null, more));
}

function showHelp() {
  const lines = HELP.map(([key, what]) => [h("dt", null, h("kbd", null, key)), h("dd", null, what)]);
  ask("Keys", h("dl", { class: "facts" }, lines), { confirm: "Close", cancel: null });
}

async function offerLogout() {
  const button = document.getElementById("logout");
  button.addEventListener("click", async () => {
    await send("POST", "/admin/logout");
    location.assign("/");
  });
  // The cookie itself cannot be read here; the server says by this mark whether a login opened the page.
  button.hidden = document.documentElement.dataset.login !== "yes";
}

/** What a screen asked for after it was drawn: a refusal is told, and what was left behind is no error. */
function watchFailures() {
  addEventListener("unhandledrejection", (event) => {
    const error = event.reason;
    if (error instanceof ApiError || error?.name === "AbortError") {
      event.preventDefault();
    }
    if (error instanceof ApiError) {
      notice(error.message);
    }
  });
}

watchFailures();
new Dashboard().start();
offerLogout();
