// Numbers and times in words.

import { el } from "./dom.js";

const UNITS = [["day", 86400], ["h", 3600], ["min", 60], ["s", 1]];

/** `3 days 4 h`, `12 min`: two units where the first is small. */
export function span(seconds) {
  let rest = Math.max(0, Math.round(seconds));
  const place = UNITS.findIndex(([, size]) => rest >= size);
  if (place < 0) return "0 s";
  const [unit, size] = UNITS[place];
  const count = Math.floor(rest / size);
  const name = unit === "day" && count !== 1 ? "days" : unit;
  rest -= count * size;
  const next = UNITS[place + 1];
  if (count > 9 || !next || unit === "min") return `${count} ${name}`;
  const more = Math.floor(rest / next[1]);
  return more > 0 ? `${count} ${name} ${more} ${next[0]}` : `${count} ${name}`;
}

function relative(at) {
  const seconds = (at - Date.now()) / 1000;
  if (Math.abs(seconds) < 2) return "now";
  return seconds < 0 ? `${span(-seconds)} ago` : `in ${span(seconds)}`;
}

/** A moment as its distance from now, kept up to date by `tick`; the moment itself is its title. */
export function when(text) {
  if (!text) return null;
  const at = Date.parse(text);
  if (Number.isNaN(at)) return el("span", null, text);
  const exact = `${new Date(at).toISOString().slice(0, 19).replace("T", " ")} UTC`;
  return el("time", { datetime: text, title: exact, "data-relative": "1" }, relative(at));
}

/** Brings every moment on the page up to date. */
export function tick() {
  for (const one of document.querySelectorAll("time[data-relative]")) {
    const words = relative(Date.parse(one.dateTime));
    if (one.textContent !== words) one.textContent = words;
  }
}

export function count(number) {
  return Number(number ?? 0).toLocaleString("en-GB");
}

/** `1 message`, `2 messages`. */
export function plural(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

export function octets(number) {
  if (number < 1024) return `${number} B`;
  if (number < 1024 * 1024) return `${(number / 1024).toFixed(1)} KiB`;
  return `${(number / 1024 / 1024).toFixed(1)} MiB`;
}

/** `14:05 UTC`: the hour of logs and headers, wherever the browser is. */
export function clock(seconds) {
  return `${new Date(seconds * 1000).toISOString().slice(11, 16)} UTC`;
}
