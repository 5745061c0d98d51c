// The partners: how the last sessions went, what their certificates are, and what ends when.

import { el, pill, row, table, terms, unfold } from "./dom.js";
import { count, plural, when } from "./words.js";

const at = (sighting) => sighting ? Date.parse(sighting.at) : -Infinity;

/** How one domain fares in one direction. */
function fare(seen, direction) {
  if (!seen || (!seen.last_good && !seen.last_failed)) return { kind: "none", word: "not seen yet" };
  if (at(seen.last_failed) <= at(seen.last_good)) return { kind: "good", word: "good" };
  const fault = seen.last_failed.facts[0]?.fault ?? "BelowLevel";
  // Inbound anybody may claim to be the partner; outbound it is the partner's own server.
  if (direction === "inbound") return { kind: "warn", word: "last one refused", why: `the last sender in its name was refused: ${fault}` };
  return { kind: "bad", word: "failing", why: `mail to it waits: ${fault}` };
}

/** Every listed domain in each of its directions. */
function ways(partner) {
  const find = (domain, direction) => partner.seen.find((seen) => seen.domain === domain && seen.direction === direction);
  const of = (domains, direction) => domains.map((domain) => {
    const seen = find(domain, direction);
    return { domain, direction, seen, ...fare(seen, direction) };
  });
  return [...of(partner.send, "outbound"), ...of(partner.receive, "inbound")];
}

/** The worst of it: {kind, word, why}; `told` takes the ways that something else tells of. */
export function state(partner, told = () => false) {
  const all = ways(partner).filter((way) => !told(way));
  for (const kind of ["bad", "warn"]) {
    const found = all.find((way) => way.kind === kind);
    if (found) return { kind, word: found.word, why: found.why };
  }
  if (all.some((way) => way.kind === "good")) return { kind: "good", word: "good", why: "" };
  return { kind: "none", word: "not seen yet", why: "" };
}

function certificates(sighting) {
  if (sighting.certificates.length === 0) return el("p", { class: "quiet" }, "No certificate was shown.");
  return el("ol", { class: "chain" }, sighting.certificates.map((one) => el("li", null, terms([
    ["Subject", one.subject], ["Issuer", one.issuer], ["Names", one.names.join(", ")], ["Ends", when(one.not_after)],
    ["Key", one.key], ["SHA-256", el("code", null, one.thumbprint)], ["Pin", el("code", null, one.pin)],
  ]))));
}

function facts(sighting) {
  return el("ul", { class: "facts" }, sighting.facts.map((fact) => el("li", null,
    el("strong", null, fact.fault), " ", fact.detail,
    terms([["Wanted", fact.wanted], ["Got", fact.got]]))));
}

function session(key, words, sighting) {
  if (!sighting) return null;
  return unfold(key, words,
    sighting.facts.length ? facts(sighting) : null,
    terms([
      ["When", when(sighting.at)], ["Peer", sighting.peer], ["Connector", sighting.connector],
      ["Session", el("a", { href: `#log?${new URLSearchParams({ session: sighting.session, at: sighting.at })}`, "data-key": `${key} log` }, sighting.session)],
      ["TLS", [sighting.tls, sighting.cipher_suite].filter(Boolean).join(", ")], ["Name that matched", sighting.matched_name],
    ]),
    certificates(sighting));
}

const COLUMNS = ["Domain", "Direction", "State", "Last good", "Last failed", "Last 30 days", "Details"];

function way(partner, one) {
  const { seen } = one;
  const key = `${partner.name} ${one.domain} ${one.direction}`;
  const failed = seen?.failures.reduce((sum, failure) => sum + failure.count, 0) ?? 0;
  const fault = seen?.last_failed?.facts[0]?.fault;
  return row(COLUMNS, [
    one.domain,
    one.direction === "inbound" ? "from them" : "to them",
    pill(one.kind, one.word),
    when(seen?.last_good?.at) ?? "never",
    seen?.last_failed ? [when(seen.last_failed.at), fault ? el("div", { class: "fault" }, fault) : null] : "never",
    seen ? `${count(seen.good)} good, ${count(failed)} bad` : "nothing",
    [session(`${key} failed`, "Last failed", seen?.last_failed), session(`${key} good`, "Last good", seen?.last_good)],
  ]);
}

function card(partner) {
  const whole = state(partner);
  const mode = partner.mode === "report" ? pill("warn", "report mode: nothing is enforced") : pill("plain", "enforced");
  return el("section", { class: "card", "aria-label": partner.name },
    el("header", null, el("h3", null, partner.name), pill(whole.kind, whole.word), mode,
      partner.written ? null : pill("plain", "by [trust] alone")),
    partner.expiring.length ? el("ul", { class: "ending" }, partner.expiring.map((one) => el("li", null,
      pill(one.days_left < 0 ? "bad" : "warn", one.what), ` ${one.subject} ends `, when(one.ends)))) : null,
    partner.outbound.filter((one) => one.problem).map((one) => el("p", null, pill("bad", "no way out"), ` ${one.domain}: ${one.problem}`)),
    table(`Sessions with ${partner.name}`, COLUMNS, el("tbody", null, ways(partner).map((one) => way(partner, one)))));
}

const CERTIFICATE_COLUMNS = ["Certificate", "Role", "Of", "Ends", "State"];
const LIST_COLUMNS = ["Issuer", "From", "Published", "Serves until", "Asked for again", "State"];
const ROLES = { server: "ours, server", client: "ours, client", partner: "partner's", anchor: "trust anchor" };

/** One certificate in one role, with everything that it serves. */
function grouped(all) {
  const found = new Map();
  for (const one of all) {
    const key = [one.role, one.subject, one.ends].join("\n");
    const known = found.get(key);
    if (known) known.of = `${known.of}, ${one.of}`;
    else found.set(key, { ...one });
  }
  return [...found.values()];
}

function ends(server) {
  const rows = grouped(server.certificates).map((one) => {
    const over = Date.parse(one.ends) < Date.now();
    const word = over ? pill("bad", "expired") : one.soon ? pill("warn", "ends soon") : pill("good", "valid");
    return row(CERTIFICATE_COLUMNS, [one.subject, ROLES[one.role] ?? one.role, one.of, when(one.ends), word]);
  });
  return rows.length ? table("Certificates by their end", CERTIFICATE_COLUMNS, el("tbody", null, rows)) : el("p", { class: "quiet" }, "There are none.");
}

function lists(server) {
  const rows = server.revocation_lists.map((one) => {
    const word = !one.current ? pill("bad", "stale") : one.soon ? pill("warn", "ends soon") : pill("good", "current");
    const again = one.fetched
      ? [when(one.next_fetch), one.failed_fetches ? el("div", { class: "fault" }, `${plural(one.failed_fetches, "attempt")} failed`) : null]
      : "when the file changes";
    return row(LIST_COLUMNS, [one.issuer, [one.source, one.fetched ? el("div", { class: "quiet" }, "cached, got ", when(one.fetched)) : null],
      when(one.this_update), when(one.good_until) ?? "never", again, word]);
  });
  const left = server.revocation_list_count - server.revocation_lists.length;
  return [
    rows.length ? table("Revocation lists by their end", LIST_COLUMNS, el("tbody", null, rows)) : el("p", { class: "quiet" }, "There are none."),
    left > 0 ? el("p", { class: "quiet" }, `${plural(left, "list")} that last longer are not shown.`) : null,
  ];
}

const RANK = { bad: 0, warn: 1, none: 2, good: 3 };

export const partners = {
  title: "Partners",
  asks: ["/api/partners", "/api/overview"],
  draw([{ partners: all }, server]) {
    const sorted = [...all].sort((a, b) => RANK[state(a).kind] - RANK[state(b).kind] || a.name.localeCompare(b.name));
    return [
      el("h1", null, "Partners"),
      sorted.length ? sorted.map(card) : el("p", { class: "quiet" }, "No partner is configured."),
      el("section", { class: "card", "aria-labelledby": "clock-certificates" }, el("h2", { id: "clock-certificates" }, "Certificates"), ends(server)),
      el("section", { class: "card", "aria-labelledby": "clock-lists" }, el("h2", { id: "clock-lists" }, "Revocation lists"), lists(server)),
    ].flat();
  },
};
