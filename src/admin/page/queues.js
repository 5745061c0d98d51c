// The delivery queues, and the rules that hold mail.

import { el, pill, row, table, unfold } from "./dom.js";
import { post } from "./server.js";
import { confirm } from "./messages.js";
import { count, plural, when } from "./words.js";

const COLUMNS = ["Next hop", "State", "Waiting", "Oldest", "Next attempt", "Last fault"];
const HOLD_COLUMNS = ["Holds mail", "Since", "Until", "By"];

function state(one) {
  if (one.down) return pill("bad", "down");
  if (one.suspended === one.recipients) return pill("plain", "suspended");
  if (one.active > 0) return pill("good", "delivering");
  if (one.retry > 0) return pill("warn", "retrying");
  return pill("plain", "ready");
}

/** Does something to mail, says what was done, and looks again. */
function act(frame, path, body, words) {
  return frame.guard(async () => {
    const done = await post(path, body);
    const what = done.messages === undefined ? "done" : plural(done.messages, "message");
    await frame.again();
    frame.say(`${words}: ${what}.`);
  });
}

function actions(one, frame, key) {
  const meant = { next_hop: one.next_hop, connector: one.connector };
  const button = (deed, words) => el("button", {
    type: "button", "data-key": `${key} ${deed}`, "aria-label": `${words} mail for ${one.next_hop}`,
    onclick: () => act(frame, `/api/queue/${deed}`, meant, `${words}, ${one.next_hop}`),
  }, words);
  return el("div", { class: "actions" }, button("retry", "Retry"), button("suspend", "Suspend"), button("resume", "Resume"));
}

function destination(one, frame, columns) {
  const key = `${one.next_hop} ${one.connector} ${one.tls_domain ?? ""}`;
  const link = `#messages?what=next_hop&text=${encodeURIComponent(one.next_hop)}`;
  const parts = [["active", one.active], ["ready", one.ready], ["retry", one.retry], ["suspended", one.suspended]];
  const counts = parts.filter(([, number]) => number > 0).map(([name, number]) => `${count(number)} ${name}`).join(", ");
  const why = one.reason || one.last_reply;
  const cells = [
    [el("a", { href: link, "data-key": `${key} link` }, one.next_hop || "(none)"),
      el("div", { class: "quiet" }, one.connector || "no send connector serves it", one.tls_domain ? [" · ", pill("good", "domain-secure")] : null,
        one.redirected ? [" · ", pill("warn", "redirected")] : null)],
    state(one),
    [el("strong", null, count(one.recipients)), el("div", { class: "quiet" }, counts, one.connections ? `, ${plural(one.connections, "connection")}` : null)],
    when(one.oldest),
    when(one.next_attempt) ?? "–",
    one.fault || why
      ? [one.fault ? el("div", { class: "fault" }, one.fault) : null,
        why ? unfold(`${key} why`, "Why", el("p", null, one.reason), one.last_reply && !one.reason?.includes(one.last_reply) ? el("p", null, el("code", null, one.last_reply)) : null,
          one.host ? el("p", { class: "quiet" }, `host ${one.host}`) : null) : null]
      : "none",
  ];
  if (frame.steering) cells.push(actions(one, frame, key));
  return row(columns, cells);
}

function queueTable({ destinations, count: all, other_recipients: others }, frame) {
  if (destinations.length === 0) return el("p", { class: "calm" }, pill("good", "Empty"), " No mail waits.");
  const columns = frame.steering ? [...COLUMNS, "Actions"] : COLUMNS;
  const rows = destinations.map((one) => destination(one, frame, columns));
  const more = all > destinations.length
    ? el("p", { class: "quiet" }, `${count(all - destinations.length)} further queues hold ${plural(others, "recipient")}.`) : null;
  return [table("Delivery queues, the oldest message first", columns, el("tbody", null, rows)), more];
}

function subject(rule) {
  const named = [["for", rule.domain], ["from", rule.sender === "" ? "<>" : rule.sender], ["to", rule.recipient]];
  return named.filter(([, value]) => value).map(([word, value]) => `${word} ${value}`).join(" ");
}

function rules(holds, frame) {
  const columns = frame.steering ? [...HOLD_COLUMNS, "Actions"] : HOLD_COLUMNS;
  const rows = holds.map((rule) => {
    const cells = [subject(rule), when(rule.since), when(rule.until) ?? "released", rule.by];
    if (frame.steering) cells.push(el("button", {
      type: "button", "data-key": `release ${rule.number}`, "aria-label": `Release mail ${subject(rule)}`,
      onclick: async () => {
        const sure = await confirm("Release held mail", `Everything that this rule holds goes on: mail ${subject(rule)}.`, "Release");
        if (sure) act(frame, "/api/holds/release", { numbers: [rule.number] }, "Released");
      },
    }, "Release"));
    return row(columns, cells);
  });
  return rows.length ? table("Rules that hold mail", columns, el("tbody", null, rows)) : el("p", { class: "quiet" }, "No rule holds mail to come.");
}

function holdForm(frame) {
  if (!frame.steering) return null;
  const form = el("form", { class: "line" },
    el("label", { for: "hold-domain" }, "Hold mail to come for the domain"),
    el("input", { id: "hold-domain", name: "domain", "data-key": "hold domain", required: true, autocomplete: "off", spellcheck: "false", placeholder: "woodgrovebank.example" }),
    el("button", { type: "submit", "data-key": "hold submit" }, "Hold"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    act(frame, "/api/holds", { domain: form.elements.domain.value }, "Held from now on");
  });
  return form;
}

export const queues = {
  title: "Queues",
  asks: ["/api/destinations", "/api/holds"],
  draw([found, { rules: holds }], frame) {
    return [
      el("h1", null, "Queues"),
      frame.steering ? null : el("p", { class: "quiet" }, "Steering is off: this page only shows. ", el("code", null, "[admin] allow_steering"), " allows it."),
      el("section", { class: "card", "aria-labelledby": "destinations" }, el("h2", { id: "destinations" }, "Delivery queues"), queueTable(found, frame)),
      el("section", { class: "card", "aria-labelledby": "holds" }, el("h2", { id: "holds" }, "Held on arrival"), rules(holds, frame), holdForm(frame)),
    ].filter(Boolean);
  },
};
