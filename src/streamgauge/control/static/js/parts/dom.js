// Builds and changes elements. Whatever is shown becomes a text node: nothing here reads markup.

/**
 * Return an element. `attributes` may hold `class`, `on` (listeners by event), `style` (properties, set one by
 * one, as the policy of this page forbids style attributes) and any attribute; null and false leave one out.
 * `children` are nodes, texts, numbers, lists of these, or null for nothing.
 */
export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    setAttribute(element, name, value);
  }
  append(element, children);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** Return an SVG element. */
export function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    setAttribute(element, name, value);
  }
  append(element, children);
  return element;
}

function setAttribute(element, name, value) {
  if (value === null || value === undefined || value === false) {
    return;
  }
  if (name === "on") {
    for (const [event, listener] of Object.entries(value)) {
      element.addEventListener(event, listener);
    }
  } else if (name === "style") {
    for (const [property, text] of Object.entries(value)) {
      element.style.setProperty(property, text);
    }
  } else if (name === "href" && !isOwnPath(value)) {
    throw new Error(`a link may only lead to a path of this origin: ${value}`);
  } else {
    element.setAttribute(name, value === true ? "" : String(value));
  }
}

/** Data could smuggle `javascript:` or another host into a link; a path of our own cannot. */
function isOwnPath(value) {
  return /^(\/(?![/\\])|#)/.test(value);
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) {
      continue;
    }
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** Put `children` in the place of what `element` holds. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** Change a text only when it differs: an untouched node costs no layout. */
export function setText(element, text) {
  const wanted = text === null || text === undefined ? "" : String(text);
  if (element.firstChild?.nodeType === Node.TEXT_NODE && element.childNodes.length === 1) {
    if (element.firstChild.data !== wanted) {
      element.firstChild.data = wanted;
    }
  } else {
    element.textContent = wanted;
  }
}

/** Change a class or another attribute only when it differs; null takes it away. */
export function setMark(element, name, value) {
  if (value === null) {
    if (element.hasAttribute(name)) {
      element.removeAttribute(name);
    }
  } else if (element.getAttribute(name) !== value) {
    element.setAttribute(name, value);
  }
}

/** Resolve before the next frame is drawn; also in a tab that draws none. */
export function nextFrame() {
  return new Promise((resolve) => {
    if (document.hidden) {
      setTimeout(resolve, 0);
    } else {
      requestAnimationFrame(() => resolve());
    }
  });
}

/** Whether the person asked for less movement. */
export function wantsStillness() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}
