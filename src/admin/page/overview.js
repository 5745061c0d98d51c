// What needs attention, how much there is, and how it went.

import { el, pill, redraw } from "./dom.js";
import { state } from "./partners.js";
import { plot } from "./plot.js";
import { count, plural, span, when } from "./words.js";

const HOUR = 3600;
const SPANS = { hour: ["Last hour", 0, 360], day: ["Last 24 hours", 1, 1440] };
let chosen = "hour";

const FLOW = [
  { key: "received", name: "Received", kind: "a" },
  { key: "delivered", name: "Delivered", kind: "b" },
  { key: "secured_received", name: "Domain-secured received", kind: "c" },
  { key: "secured_sent", name: "Domain-secured sent", kind: "d" },
];
const TROUBLE = [
  { key: "inbound_failures", name: "Inbound verdicts bad", kind: "bad" },
  { key: "outbound_failures", name: "Outbound verdicts bad", kind: "worse" },
  { key: "deferred", name: "Deferred", kind: "warn" },
  { key: "bounced", name: "Given up", kind: "e" },
  { key: "failed_handshakes", name: "Failed handshakes", kind: "d" },
];
const WAITING = [{ key: "queued", name: "In the queue", kind: "a", most: true }];

/** Everything that somebody should look at: {kind, word, text, link}. */
function attention(server, partners, destinations) {
  const found = [];
  const add = (kind, word, text, link) => found.push({ kind, word, text, link });
  if (server.stopping) add("bad", "Stopping", "The server finishes what is in hand and stops.");
  if (server.back_pressure === "high") add("bad", "Back pressure", "Something is so short that no mail is taken; the counter sealpost_back_pressure says what.");
  if (server.back_pressure === "medium") add("warn", "Back pressure", "Something is short: mail of strangers is put off.");
  if (server.protocol_log_lines_lost > 0) add("bad", "Log lines lost", `${plural(server.protocol_log_lines_lost, "line")} never reached the protocol log.`);
  if (server.tracking_records_lost > 0) add("bad", "Tracking lost", `${plural(server.tracking_records_lost, "record")} never reached message tracking.`);
  for (const partner of partners) {
    // A next hop that is down for it says so itself.
    const told = (way) => way.direction === "outbound" && destinations.some((one) => one.down && one.tls_domain === way.domain);
    const { kind, word, why } = state(partner, told);
    if (kind === "bad" || kind === "warn") add(kind, word, `${partner.name}: ${why}`, "#partners");
    for (const problem of partner.outbound.filter((one) => one.problem)) add("bad", "No way out", `${partner.name}, ${problem.domain}: ${problem.problem}`, "#partners");
  }
  for (const one of destinations.filter((one) => one.down)) {
    add("bad", "Next hop down", `${one.next_hop}: ${one.fault ?? one.reason ?? "it cannot be used"}; ${plural(one.recipients, "recipient")} ${one.recipients === 1 ? "waits" : "wait"}.`, "#queues");
  }
  for (const one of server.certificates.filter((one) => one.soon)) {
    const ended = one.days_left < 0 || Date.parse(one.ends) < Date.now();
    add(ended ? "bad" : "warn", ended ? "Certificate expired" : "Certificate ends", [`${one.subject} (${one.role}, ${one.of}) `, when(one.ends)], "#partners");
  }
  for (const one of server.revocation_lists) {
    if (!one.current) add("bad", "Revocation list stale", [`${one.issuer}: ran out `, when(one.good_until) ?? "(it never serves)"], "#partners");
    else if (one.soon) add("warn", "Revocation list ends", [`${one.issuer}: `, when(one.good_until)], "#partners");
    if (one.failed_fetches > 0) add("warn", "List not fetched", `${one.source}: ${plural(one.failed_fetches, "attempt")} failed.`, "#partners");
  }
  const rank = { bad: 0, warn: 1 };
  return found.sort((a, b) => rank[a.kind] - rank[b.kind]);
}

function list(found) {
  if (found.length === 0) return el("p", { class: "calm" }, pill("good", "All well"), " Nothing needs attention.");
  return el("ul", { class: "attention" }, found.map((one) => el("li", null,
    pill(one.kind, one.word), el("span", null, one.text),
    one.link ? el("a", { href: one.link, "data-key": `look ${one.word} ${one.link}` }, "Look") : null)));
}

function tile(name, value, note) {
  return el("div", { class: "tile" }, el("dt", null, name), el("dd", null, el("strong", null, value), note ? el("span", { class: "quiet" }, note) : null));
}

function tiles(server, [fine]) {
  const since = Date.now() / 1000 - HOUR;
  const lately = (key) => fine.points.filter((point) => point.at >= since).reduce((sum, point) => sum + point[key], 0);
  const { queue, connections } = server;
  const queued = queue.active + queue.ready + queue.retry + queue.suspended;
  const age = queue.oldest ? `oldest ${span((Date.now() - Date.parse(queue.oldest)) / 1000)}` : "empty";
  return el("dl", { class: "tiles" },
    tile("In the queue", count(queued), age),
    tile("Received", count(lately("received")), "last hour"),
    tile("Delivered", count(lately("delivered")), "last hour"),
    tile("Domain-secured", `${count(lately("secured_received"))} in, ${count(lately("secured_sent"))} out`, "last hour"),
    tile("Refused", count(lately("refused")), "replies, last hour"),
    tile("Bad verdicts", `${count(lately("inbound_failures"))} in, ${count(lately("outbound_failures"))} out`, "last hour"),
    tile("Connections", `${count(connections.inbound)} in, ${count(connections.outbound)} out`, "now"),
    tile("Back pressure", server.back_pressure, server.holds > 0 ? plural(server.holds, "hold rule") : "no hold rules"));
}

function plots(history) {
  const box = el("div");
  const draw = () => {
    const [, which, length] = SPANS[chosen];
    const course = history[which];
    const shown = (key, title, series) => plot(key, title, series, course, length);
    const buttons = Object.entries(SPANS).map(([name, [words]]) => el("button", {
      type: "button", "aria-pressed": String(name === chosen), "data-key": `span ${name}`,
      onclick: () => { chosen = name; draw(); },
    }, words));
    redraw(box, el("div", { class: "choice", role: "group", "aria-label": "Span of the plots" }, buttons),
      el("div", { class: "plots" },
        shown("flow", "Messages", FLOW), shown("trouble", "Failures", TROUBLE), shown("waiting", "Waiting", WAITING)));
  };
  draw();
  return box;
}

export const overview = {
  title: "Overview",
  asks: ["/api/overview", "/api/partners", "/api/destinations", "/api/history"],
  draw([server, { partners }, { destinations }, { history }]) {
    return [
      el("h1", null, "Overview"),
      el("section", { "aria-labelledby": "attention" }, el("h2", { id: "attention" }, "Needs attention"), list(attention(server, partners, destinations))),
      el("section", { "aria-labelledby": "now" }, el("h2", { id: "now" }, "Now"), tiles(server, history)),
      el("section", { "aria-labelledby": "course" }, el("h2", { id: "course" }, "Over time"), plots(history)),
      el("p", { class: "quiet" }, `Sealpost ${server.version}, started `, when(server.started), "."),
    ];
  },
};
