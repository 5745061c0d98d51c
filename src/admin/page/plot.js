// Courses over time: lines in SVG with the axes in HTML, so that nothing is squeezed on a narrow
// screen, a sentence for who cannot see them, and the numbers as a table.

import { el, svg, table, row, unfold } from "./dom.js";
import { clock, count } from "./words.js";

const WIDTH = 600;
const HEIGHT = 120;
const TABLE_ROWS = 12;

/** A round number at or above the highest. */
function ceiling(highest) {
  if (highest <= 4) return 4;
  const power = 10 ** Math.floor(Math.log10(highest));
  return [1, 2, 4, 6, 8, 10].map((factor) => factor * power).find((top) => top >= highest);
}

/** Every step of the span, with nothing where the server did not run. */
function steps(course, length) {
  const last = course.points.at(-1)?.at ?? Math.floor(Date.now() / 1000 / course.step) * course.step;
  const points = new Map(course.points.map((point) => [point.at, point]));
  return Array.from({ length }, (_, place) => {
    const at = last - (length - 1 - place) * course.step;
    return { at, point: points.get(at) };
  });
}

function line(all, key, top) {
  let path = "";
  let pen = "M";
  all.forEach(({ point }, place) => {
    if (!point) {
      pen = "M";
      return;
    }
    const x = (place / Math.max(1, all.length - 1)) * WIDTH;
    const y = HEIGHT - (point[key] / top) * (HEIGHT - 4) - 2;
    path += `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = "L";
  });
  return path;
}

function numbers(title, series, all) {
  const size = Math.ceil(all.length / TABLE_ROWS);
  const columns = ["From", ...series.map((one) => one.name)];
  const rows = [];
  for (let start = 0; start < all.length; start += size) {
    const part = all.slice(start, start + size);
    const known = part.filter(({ point }) => point);
    const sum = (one) => known.reduce((total, { point }) => one.most ? Math.max(total, point[one.key]) : total + point[one.key], 0);
    const cells = series.map((one) => known.length ? count(sum(one)) : "–");
    rows.push(row(columns, [clock(part[0].at), ...cells]));
  }
  return table(title, columns, el("tbody", null, rows));
}

/** `series`: {key, name, kind, most}; the kind is the colour and the dash of the line. */
export function plot(key, title, series, course, length) {
  const all = steps(course, length);
  const known = all.filter(({ point }) => point);
  const highest = Math.max(0, ...known.flatMap(({ point }) => series.map((one) => point[one.key])));
  const top = ceiling(highest);
  const total = (one) => known.reduce((sum, { point }) => one.most ? Math.max(sum, point[one.key]) : sum + point[one.key], 0);
  const told = series.map((one) => `${one.name} ${count(total(one))}${one.most ? " at most" : ""}`).join(", ");
  const lines = series.map((one) => svg("path", { class: `line ${one.kind}`, d: line(all, one.key, top), "vector-effect": "non-scaling-stroke" }));
  const grid = [0.5, 1].map((part) => svg("path", {
    class: "grid", d: `M0 ${HEIGHT - part * (HEIGHT - 4) - 2}H${WIDTH}`, "vector-effect": "non-scaling-stroke",
  }));
  const drawing = svg("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img",
    "aria-label": `${title}, from ${clock(all[0].at)} to ${clock(all.at(-1).at)}: ${told}`,
  }, grid, lines);
  const unit = course.step === 60 ? "per minute" : `per ${course.step} s`;
  return el("figure", { class: "plot" },
    el("figcaption", null, el("h3", null, title), el("span", { class: "quiet" }, unit)),
    el("div", { class: "chart" },
      el("div", { class: "high", "aria-hidden": "true" }, el("span", null, count(top)), el("span", null, count(top / 2)), el("span", null, "0")),
      drawing,
      el("div", { class: "wide", "aria-hidden": "true" }, el("span", null, clock(all[0].at)), el("span", null, clock(all[Math.floor(all.length / 2)].at)), el("span", null, clock(all.at(-1).at)))),
    el("ul", { class: "legend" }, series.map((one) => el("li", null,
      svg("svg", { viewBox: "0 0 24 8", width: 24, height: 8, "aria-hidden": "true" }, svg("path", { class: `line ${one.kind}`, d: "M0 4H24" })),
      ` ${one.name} `, el("strong", null, count(total(one)))))),
    unfold(`${key} numbers`, "Numbers", numbers(title, series, all)));
}
