// Where we are: the path names the screen, the query its filters. Knows no screen.

const listeners = new Set();
const lastFilters = new Map();

/** Return the path and the filters of this moment. */
export function here() {
  return { path: location.pathname, query: new URLSearchParams(location.search) };
}

/** Call `listener` whenever the place changes; return how to stop. */
export function onMove(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Return a screen's address with the filters that it had last. */
export function withLastFilters(path) {
  return `${path}${lastFilters.get(path) ?? ""}`;
}

function tell(kind) {
  lastFilters.set(location.pathname, location.search);
  for (const listener of [...listeners]) {
    listener(kind);
  }
}

/** Go to a path of this origin, as a click on a link does. */
export function go(path) {
  history.pushState(null, "", path);
  tell("path");
}

/** Set filters without leaving the screen; null, "" and false take one away. `push`: a step that Back undoes. */
export function setFilters(changes, push = false) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "" || value === false) {
      query.delete(name);
    } else {
      query.set(name, String(value));
    }
  }
  const text = query.toString();
  const target = `${location.pathname}${text === "" ? "" : `?${text}`}`;
  if (target === `${location.pathname}${location.search}`) {
    return;
  }
  history[push ? "pushState" : "replaceState"](null, "", target);
  tell("query");
}

/** Return a path with filters; a list becomes a filter that is given several times. */
export function pathOf(path, filters) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(filters ?? {})) {
    for (const each of [value].flat()) {
      if (each !== null && each !== undefined && each !== "") {
        query.append(name, String(each));
      }
    }
  }
  const text = query.toString();
  return text === "" ? path : `${path}?${text}`;
}

/** Return the address of a session. `.` and `..` would lead up in a path, however they are written there. */
export function sessionPath(id) {
  return id === "." || id === ".." ? `/sessions/-?id=${id}` : `/sessions/${encodeURIComponent(id)}`;
}

/** Return which session an address means; `name`: the last part of its path. */
export function sessionAt(name) {
  return name === "-" ? (here().query.get("id") ?? name) : name;
}

/** Follow plain clicks on our own links here, and Back and Forward. */
export function watchPlace() {
  lastFilters.set(location.pathname, location.search);
  addEventListener("popstate", () => tell("path"));
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
    const plain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
    if (link === null || !plain || event.defaultPrevented || link.hasAttribute("download") || link.hasAttribute("data-outside")) {
      return;
    }
    const target = link.getAttribute("href");
    if (target.startsWith("/")) {
      event.preventDefault();
      go(target);
    }
  });
}
