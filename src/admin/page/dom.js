// Elements made by calls. Whatever comes from outside enters as a text node and never as markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "hidden" || name === "open" || name === "disabled" || name === "checked") node[name] = true;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(4)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}

/** An element of HTML: `el("p", { class: "quiet" }, "text", node)`. */
export function el(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** An element of SVG. */
export function svg(name, attributes, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

/** A table whose cells know their column, so that it can be read as cards on a narrow screen. */
export function table(caption, columns, bodies) {
  // The roles are what the elements lose when they are shown as blocks.
  const head = el("tr", { role: "row" }, columns.map((column) => el("th", { scope: "col", role: "columnheader" }, column)));
  return el("div", { class: "scroller", role: "region", "aria-label": caption, tabindex: "0" },
    el("table", { role: "table" }, el("caption", { class: "unseen" }, caption), el("thead", null, head), bodies));
}

/** A row of cells; the first one is its heading. */
export function row(columns, cells, attributes) {
  const wrapped = cells.map((cell) => el("div", null, cell));
  const made = wrapped.map((cell, place) => place === 0
    ? el("th", { scope: "row", role: "rowheader", "data-column": columns[place] }, cell)
    : el("td", { role: "cell", "data-column": columns[place] }, cell));
  return el("tr", { role: "row", ...attributes }, made);
}

/** State in colour and in a word. */
export function pill(kind, word) {
  return el("span", { class: `pill ${kind}` }, word);
}

/** A list of terms; pairs without a value are left out. */
export function terms(pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el("dl", { class: "terms" }, known.map(([name, value]) => el("div", null, el("dt", null, name), el("dd", null, value))));
}

/** What may be unfolded; `key` keeps it so when the view is drawn anew. */
export function unfold(key, summary, ...children) {
  return el("details", { "data-key": key }, el("summary", { "data-key": `${key} summary` }, summary), children);
}

/** Draws a view anew without taking away what is focused, unfolded or scrolled. */
export function redraw(container, ...nodes) {
  const open = new Set([...container.querySelectorAll("details[open][data-key]")].map((one) => one.dataset.key));
  const inside = container.contains(document.activeElement);
  const focused = inside ? document.activeElement.dataset.key : undefined;
  const scrolled = [...container.querySelectorAll(".scroller")].map((one) => one.scrollLeft);
  container.replaceChildren(...nodes);
  container.querySelectorAll("details[data-key]").forEach((one) => { if (open.has(one.dataset.key)) one.open = true; });
  container.querySelectorAll(".scroller").forEach((one, place) => { one.scrollLeft = scrolled[place] ?? 0; });
  if (focused !== undefined) container.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}
