// Asks the admin API. Knows its addresses' beginning and its errors, and no page.

import { pathOf } from "./place.js";

const BASE = "/admin/api/v1";

/** What the API refused, or that it did not answer. `status` is null when nothing came. */
export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** Return what a page of the API says. Raises ApiError, or AbortError when `signal` ended it. */
export async function read(path, filters = {}, signal = undefined) {
  return (await ask("GET", pathOf(`${BASE}${path}`, filters), undefined, signal)).json();
}

/** Return a file of the API as text. */
export async function readText(path, signal = undefined) {
  return (await ask("GET", `${BASE}${path}`, undefined, signal)).text();
}

/** Have something done; return what the API says of it, or null when it says nothing. */
export async function send(method, path, body = {}) {
  const answer = await ask(method, path.startsWith("/admin/") ? path : `${BASE}${path}`, body);
  return answer.status === 204 ? null : answer.json();
}

/** Ask whether a page of the API would be served, and for nothing of it. Raises ApiError. */
export async function knock(path) {
  await ask("HEAD", `${BASE}${path}`);
}

/** Return the address of a page of the API, for a link. */
export function addressOf(path) {
  return `${BASE}${path}`;
}

async function ask(method, path, body, signal) {
  const headers = { accept: "application/json" };
  if (body !== undefined) {
    headers["content-type"] = "application/json";
  }
  let answer;
  try {
    answer = await fetch(path, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") {
      throw error;
    }
    throw new ApiError("the gateway does not answer", null);
  }
  if (answer.status === 401 && !path.startsWith("/admin/login")) {
    // The cookie has run out: the server answers this page's address with the login.
    location.reload();
  }
  if (!answer.ok) {
    throw new ApiError(await messageOf(answer), answer.status);
  }
  return answer;
}

async function messageOf(answer) {
  try {
    const said = await answer.json();
    return said.error?.message ?? `the gateway answered ${answer.status}`;
  } catch {
    return `the gateway answered ${answer.status}`;
  }
}
