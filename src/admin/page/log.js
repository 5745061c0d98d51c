// The protocol log as it is written: asked for again and again, each answer waits for a line.

import { el } from "./dom.js";
import { get, SignedOut } from "./server.js";
import { count } from "./words.js";

const LINES_KEPT = 1000;
const TRY_AGAIN = 2000;
const EVENTS = { "+": "connects", "-": "disconnects", ">": "sent", "<": "received", "*": "information" };

/** Lines that decide: a verdict, and a reply that refuses. */
function weight(one) {
  if (one.context.endsWith("verdict")) return /(^| )Admitted/.test(one.data) ? " passes" : " stands";
  return /^[45]\d\d[ -]/.test(one.data) ? " stands" : "";
}

function line(one) {
  const kind = { "+": "edge", "-": "edge", ">": "sent", "<": "got", "*": "info" }[one.event] ?? "info";
  const stands = weight(one);
  const words = one.data || (kind === "edge" && !one.context ? `${EVENTS[one.event]}: ${one.remote}, ${one.connector}` : "");
  return el("li", { class: `${kind}${stands}` },
    el("span", { class: "at", title: `${one.at.slice(0, 10)} ${one.at.slice(11, 23)} UTC` }, `${one.at.slice(11, 23)}Z`),
    el("a", { class: "id", href: `#log?${new URLSearchParams({ session: one.session, at: one.at })}`, title: `${one.connector}, ${one.local} – ${one.remote}` }, one.session.slice(-6)),
    el("span", { class: "way", title: one.direction }, one.direction === "inbound" ? "in" : "out"),
    el("span", { class: "event", title: EVENTS[one.event] ?? "" }, one.event),
    el("span", { class: "text" }, words, one.context ? el("span", { class: "context" }, words ? ` ${one.context}` : one.context) : null));
}

/** Follows until stopped. */
async function follow(filter, frame, stop, view) {
  let from;
  while (!stop.signal.aborted) {
    try {
      const answer = await get("/api/log", { ...filter, from }, stop.signal);
      if (answer.missed > 0 && from !== undefined) view.note(`${count(answer.missed)} lines came too fast and are not shown`);
      from = answer.next;
      view.add(answer.lines);
    } catch (error) {
      if (stop.signal.aborted) return;
      if (error instanceof SignedOut) {
        await frame.guard(() => { throw error; });
        return;
      }
      view.note(error.message);
      await new Promise((go) => setTimeout(go, TRY_AGAIN));
    }
  }
}

function select(id, words, options, chosen) {
  return [el("label", { for: id }, words),
    el("select", { id }, options.map(([value, text]) => el("option", { value, selected: value === chosen }, text)))];
}

/** The list of lines, with pausing. */
function sheet(list, state) {
  let paused = false;
  let waiting = [];
  let shown = 0;
  let known = new Set();
  // What was read from the files may come again while it is still in memory.
  const fresh = (lines) => lines.filter((one) => {
    const name = `${one.session} ${one.sequence}`;
    return !known.has(name) && known.add(name);
  });
  const tell = (more = "") => {
    const words = paused ? `Paused; ${count(waiting.length)} lines wait.` : `${count(shown)} lines.`;
    state.textContent = more ? `${words} ${more}.` : words;
  };
  const put = (lines) => {
    const atEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - 24;
    list.append(...lines.map(line));
    while (list.childElementCount > LINES_KEPT) list.firstElementChild.remove();
    shown = list.childElementCount;
    if (atEnd) list.scrollTop = list.scrollHeight;
  };
  return {
    add(all) {
      const lines = fresh(all);
      if (known.size > 20 * LINES_KEPT) known = new Set();
      if (paused) waiting = [...waiting, ...lines].slice(-LINES_KEPT);
      else put(lines);
      tell();
    },
    note: tell,
    clear() {
      list.replaceChildren();
      waiting = [];
      known = new Set();
      shown = 0;
      tell();
    },
    pause(on) {
      paused = on;
      if (!on) {
        put(waiting);
        waiting = [];
      }
      tell();
    },
  };
}

export const log = {
  title: "Protocol log",
  open(frame) {
    const whole = new AbortController();
    let stop = new AbortController();
    const list = el("ol", { class: "log", role: "log", "aria-live": "off", "aria-label": "Lines of the protocol log", tabindex: "0" });
    const state = el("span", { class: "quiet" }, "Waiting for lines.");
    const view = sheet(list, state);
    const session = frame.query.get("session") ?? "";
    const build = async () => {
      const [{ partners }, server] = await Promise.all([get("/api/partners", null, whole.signal), get("/api/overview", null, whole.signal)]);
      const connectors = [...new Set([...server.connectors.receive, ...server.connectors.send])];
      const form = el("form", { class: "line" },
        select("partner", "Partner", [["", "all"], ...partners.map((one) => [one.name, one.name])], ""),
        select("connector", "Connector", [["", "all"], ...connectors.map((name) => [name, name])], ""),
        select("direction", "Direction", [["", "both"], ["inbound", "in"], ["outbound", "out"]], ""),
        session ? el("span", null, "Session ", el("code", null, session), " ", el("a", { href: "#log" }, "show all")) : null,
        el("button", { type: "button", id: "pause", "aria-pressed": "false", onclick: (event) => {
          const on = event.currentTarget.getAttribute("aria-pressed") !== "true";
          event.currentTarget.setAttribute("aria-pressed", String(on));
          view.pause(on);
        } }, "Pause"),
        el("button", { type: "button", onclick: () => view.clear() }, "Clear"), state);
      const past = async () => {
        if (!session || !frame.query.get("at")) return;
        const { lines, error } = await get(`/api/sessions/${encodeURIComponent(session)}`, { at: frame.query.get("at") }, whole.signal);
        if (error) frame.say(`Sorry: ${error}.`, true);
        else view.add(lines);
      };
      const begin = async () => {
        stop.abort();
        const mine = new AbortController();
        stop = mine;
        view.clear();
        await past();
        if (mine.signal.aborted) return;
        const [partner, connector, direction] = ["partner", "connector", "direction"].map((id) => form.querySelector(`#${id}`).value);
        follow({ partner, connector, direction, session }, frame, mine, view);
      };
      form.addEventListener("change", () => frame.guard(begin));
      form.addEventListener("submit", (event) => event.preventDefault());
      frame.view.replaceChildren(el("h1", null, "Protocol log"), form, list,
        el("p", { class: "quiet" }, session ? "The lines of one session, as they were written. " : ["Lines are shown from now on; ", el("code", null, "sealpost log sessions"), " searches what was written before. "], "Only connectors with ", el("code", null, "protocol_logging_level = \"verbose\""), " write lines."));
      await begin();
    };
    frame.guard(build);
    return () => {
      whole.abort();
      stop.abort();
    };
  },
};
