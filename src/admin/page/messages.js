// Finding a message: why it still waits, and what became of it.

import { el, pill, row, table, terms, unfold } from "./dom.js";
import { get, post } from "./server.js";
import { octets, plural, when } from "./words.js";

const WHAT = { message: "Queue id or Message-ID", sender: "Sender", recipient: "Recipient", next_hop: "Next hop" };
const COLUMNS = ["Message", "State", "From", "To", "Age", "Next attempt", "Last fault"];
const TRACK_COLUMNS = ["Time", "What", "Who", "Tells"];
const STATES = { active: "good", ready: "plain", retry: "warn", suspended: "plain" };
const EVENTS = { RECEIVE: "plain", SEND: "good", DEFER: "warn", FAIL: "bad", EXPIRE: "bad", DSN: "plain", DROP: "bad", HOLD: "warn" };
const WAITING_SHOWN = 3;

/** Asks before what cannot be undone; true when the answer is yes. */
export function confirm(title, text, word) {
  return new Promise((answer) => {
    const dialog = el("dialog", { "aria-labelledby": "sure" },
      el("form", { method: "dialog" }, el("h2", { id: "sure" }, title), el("p", null, text),
        el("div", { class: "actions" }, el("button", { value: "no" }, "Cancel"), el("button", { value: "yes", class: "danger" }, word))));
    dialog.addEventListener("close", () => {
      answer(dialog.returnValue === "yes");
      dialog.remove();
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

const isId = (text) => /^[0-9A-Fa-f]{16}$/.test(text);

function actions(id, frame, again) {
  const act = (deed, words, body) => frame.guard(async () => {
    const done = await post(`/api/queue/${deed}`, { id, ...body });
    await again();
    frame.say(`${words} ${id}: ${plural(done.messages, "message")}.`);
  });
  const button = (deed, words) => el("button", { type: "button", "data-key": `${id} ${deed}`, onclick: () => act(deed, words) }, words);
  const remove = async () => {
    const sure = await confirm("Remove the message", `${id} leaves the queue for good, and its sender is told so by a report.`, "Remove");
    if (sure) act("remove", "Remove", { dsn: true });
  };
  return el("div", { class: "actions" }, button("retry", "Retry"), button("suspend", "Suspend"), button("resume", "Resume"),
    el("button", { type: "button", class: "danger", "data-key": `${id} remove`, onclick: remove }, "Remove…"));
}

/** Why one message is still here. */
function whyCard({ message, why }, frame, again) {
  const transcript = why.transcript?.length ? unfold(`${message.id} transcript`, "Last lines of the conversation", el("pre", null, why.transcript.join("\n"))) : null;
  return el("article", { class: "card", "aria-label": `Message ${message.id}` },
    el("header", null, el("h3", null, el("code", null, message.id)), pill(STATES[message.status] ?? "plain", message.status),
      why.fault ? pill("bad", why.fault) : null),
    el("p", null, why.reason),
    terms([
      ["Wanted", why.wanted], ["Got", why.got], ["Policy", why.policy],
      // The reason of a failed check ends with its remedy.
      ["What to do", why.reason?.includes(why.remedy) ? null : why.remedy], ["Who mends it", why.mended_by],
      ["From", message.sender || "<>"], ["To", message.recipients.map((one) => one.address).join(", ")],
      ["Next hop", why.next_hop], ["Host", why.host], ["Connector", why.connector], ["Domain-secure for", why.tls_domain],
      [why.reply_from_peer === false ? "Our status" : "Last reply", why.reason?.includes(why.last_reply) ? null : why.last_reply],
      ["Session", why.session && why.last_attempt
        ? el("a", { href: `#log?${new URLSearchParams({ session: why.session, at: why.last_attempt })}`, "data-key": `${message.id} session` }, why.session) : null],
      ["Last attempt", when(why.last_attempt)], ["Attempts", why.attempts], ["Received", when(message.received)],
      ["Next attempt", when(why.next_attempt)], ["Expires", when(why.expires)], ["Size", octets(message.size)],
    ]),
    transcript,
    frame.steering ? actions(message.id, frame, again) : null);
}

function queueTable(messages, more) {
  if (messages.length === 0) return el("p", { class: "quiet" }, "Nothing of that kind is in the queue.");
  const rows = messages.map((one) => {
    const waiting = [...one.recipients].sort((a, b) => a.next_attempt.localeCompare(b.next_attempt))[0];
    const fault = one.recipients.find((recipient) => recipient.fault)?.fault;
    const [first, ...others] = one.recipients;
    return row(COLUMNS, [
      el("a", { href: `#messages?what=message&text=${one.id}` }, el("code", null, one.id)), pill(STATES[one.status] ?? "plain", one.status),
      one.sender || "<>", [first?.address, others.length ? ` and ${others.length} more` : null],
      when(one.received), when(waiting?.next_attempt), fault ? el("span", { class: "fault" }, fault) : "none",
    ]);
  });
  return [table("Messages in the queue", COLUMNS, el("tbody", null, rows)),
    more ? el("p", { class: "quiet" }, "There are more; the command ", el("code", null, "sealpost queue list"), " shows all.") : null];
}

/** What happened again and again in the same way is told once: {entry, times, first}. */
function gathered(events) {
  const found = [];
  const same = (a, b) => ["event", "context", "status"].every((key) => a[key] === b[key]) && a.recipients.join() === b.recipients.join();
  for (const entry of events) {
    const last = found.at(-1);
    if (last && same(last.entry, entry)) Object.assign(last, { entry, times: last.times + 1 });
    else found.push({ entry, times: 1, first: entry.at });
  }
  return found;
}

const moment = (text) => text.replace("T", " ").replace("Z", " UTC");

function step({ entry, times, first }) {
  const who = entry.recipients.join(", ") || entry.server_name || entry.client_name || entry.client;
  const session = entry.custom.session;
  const tells = [entry.context, entry.status].filter(Boolean).join(" · ");
  return row(TRACK_COLUMNS, [
    [el("time", { datetime: entry.at }, moment(entry.at)), times > 1 ? el("div", { class: "quiet" }, `the last of ${times} since ${moment(first)}`) : null], pill(EVENTS[entry.event] ?? "plain", entry.event), who,
    [tells, session ? [" ", el("a", { href: `#log?${new URLSearchParams({ session, at: entry.at })}` }, "session")] : null],
  ]);
}

function track(messages) {
  if (messages.length === 0) return el("p", { class: "quiet" }, "Message tracking knows nothing of it.");
  // Reports behind what they are about.
  const sorted = messages.slice(-50).reverse().sort((a, b) => Boolean(a.about) - Boolean(b.about));
  return sorted.map((one) => el("article", { class: "card", "aria-label": `Track of ${one.queue_id}` },
    el("header", null, el("h3", null, el("code", null, one.queue_id)), el("span", { class: "quiet" }, one.message_id)),
    el("p", null, `From ${one.sender || "<>"}`, one.about ? ["; a report about ", el("a", { href: `#messages?what=message&text=${one.about}` }, el("code", null, one.about))] : null),
    table(`What happened to ${one.queue_id}`, TRACK_COLUMNS, el("tbody", null, gathered(one.events).map(step)))));
}

async function find(what, text, frame, results) {
  const again = () => find(what, text, frame, results);
  const found = { queue: [], more: false, whys: [], track: [], note: null };
  if (what === "message") {
    const traced = await get("/api/trace", { message: text });
    found.note = traced.error;
    found.track = traced.messages ?? [];
    const ids = isId(text) ? [text.toUpperCase()] : found.track.map((one) => one.queue_id).slice(0, WAITING_SHOWN);
    for (const id of ids) {
      const answer = await get(`/api/messages/${encodeURIComponent(id)}`);
      if (!answer.error) found.whys.push(answer);
    }
  } else {
    // The queue knows domains by their own name.
    const asked = what === "recipient" && text.startsWith("@") ? { domain: text.slice(1) } : { [what]: text };
    const listed = await get("/api/messages", asked);
    if (listed.error) throw new Error(listed.error);
    found.queue = listed.messages;
    found.more = listed.next !== null;
    if (what !== "next_hop") {
      const traced = await get("/api/trace", { [what]: text });
      found.note = traced.error;
      found.track = traced.messages ?? [];
    }
  }
  const waits = what === "message"
    ? (found.whys.length ? found.whys.map((one) => whyCard(one, frame, again)) : el("p", { class: "quiet" }, "It is not in the queue: it was delivered, returned or removed, or never came."))
    : queueTable(found.queue, found.more);
  results.replaceChildren(...[
    el("section", { "aria-labelledby": "waits" }, el("h2", { id: "waits" }, "In the queue"), waits),
    what === "next_hop" ? null : el("section", { "aria-labelledby": "track" }, el("h2", { id: "track" }, "Its track"),
      found.note ? el("p", { class: "quiet" }, `Message tracking: ${found.note}`) : track(found.track)),
  ].filter(Boolean));
  frame.say("");
}

export const messages = {
  title: "Messages",
  open(frame) {
    const [what, text] = [frame.query.get("what") ?? "message", frame.query.get("text") ?? ""];
    const results = el("div");
    const options = Object.entries(WHAT).map(([value, words]) => el("option", { value, selected: value === what }, words));
    const form = el("form", { class: "line", role: "search" },
      el("label", { for: "what" }, "Find by"), el("select", { id: "what", name: "what" }, options),
      el("label", { for: "text", class: "unseen" }, "What to look for"),
      el("input", { id: "text", name: "text", type: "search", value: text, required: true, autocomplete: "off", spellcheck: "false" }),
      el("button", { type: "submit" }, "Find"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const wanted = new URLSearchParams({ what: form.elements.what.value, text: form.elements.text.value.trim() });
      if (location.hash === `#messages?${wanted}`) look();
      else location.hash = `#messages?${wanted}`;
    });
    const look = () => {
      frame.say("Looking…");
      return frame.guard(() => find(what, text, frame, results));
    };
    frame.view.replaceChildren(el("h1", null, "Messages"), form, results);
    if (text) look();
    return () => {};
  },
};
