// The frame of the page: signing in, the choice of the view, and its refreshing.

import { redraw } from "./dom.js";
import { log } from "./log.js";
import { messages } from "./messages.js";
import { overview } from "./overview.js";
import { partners } from "./partners.js";
import { queues } from "./queues.js";
import { get, post, SignedOut } from "./server.js";
import { tick } from "./words.js";

const VIEWS = { overview, partners, queues, messages, log };
const REFRESH = 5000;

const by = (id) => document.getElementById(id);
const view = by("view");
let close = () => {};
let session = { signed_in: false };

/** Says something to everyone, screen readers included. */
function say(words, isError = false) {
  by("status").textContent = words;
  by("status").classList.toggle("bad", isError);
}

/** `#log?session=…`: the name of the view and what it is to show. */
function place() {
  const [name, query] = location.hash.slice(1).split("?");
  return { name: Object.hasOwn(VIEWS, name) ? name : "overview", query: new URLSearchParams(query ?? "") };
}

function show() {
  close();
  close = () => {};
  const { name, query } = place();
  for (const link of by("nav").querySelectorAll("a")) {
    if (link.hash === `#${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const chosen = VIEWS[name];
  document.title = `${chosen.title} – ${session.hostname ?? ""} – Sealpost`;
  view.replaceChildren();
  say("");
  const frame = { view, query, steering: session.allow_steering === true, say, guard };
  close = chosen.open ? chosen.open(frame) : poll(chosen, frame);
}

/** Runs what may find that the session is over. */
async function guard(work) {
  try {
    return await work();
  } catch (error) {
    if (error instanceof SignedOut) signIn("The session is over; sign in again.");
    else if (error.name !== "AbortError") say(`Sorry: ${error.message}.`, true);
    return undefined;
  }
}

/** Draws a view again whenever what it shows has changed. */
function poll(chosen, frame) {
  const stop = new AbortController();
  let timer;
  let before;
  const look = async () => {
    clearTimeout(timer);
    const found = await guard(() => Promise.all(chosen.asks.map((path) => get(path, null, stop.signal))));
    if (stop.signal.aborted) return;
    if (found !== undefined) {
      if (by("status").classList.contains("bad")) say("");
      const text = JSON.stringify(found.map((one) => ({ ...one, now: undefined })));
      if (text !== before) redraw(view, ...chosen.draw(found, { ...frame, again: () => { before = undefined; return look(); } }));
      before = text;
      by("freshness").textContent = `as of ${new Date().toISOString().slice(11, 19)} UTC`;
    }
    timer = setTimeout(look, document.hidden ? REFRESH * 6 : REFRESH);
  };
  look();
  return () => {
    stop.abort();
    clearTimeout(timer);
    by("freshness").textContent = "";
  };
}

function signIn(words = "") {
  close();
  close = () => {};
  session = { signed_in: false };
  view.replaceChildren();
  document.title = "Sign in – Sealpost";
  by("nav").hidden = true;
  by("session").hidden = true;
  by("host").textContent = "";
  by("sign-in").hidden = false;
  by("token").value = "";
  by("token").focus();
  say(words);
}

async function enter(token) {
  try {
    await post("/sign-in", { token });
    await begin();
    by("main").focus();
  } catch (error) {
    signIn();
    say(`Sorry: ${error.message}.`, true);
  }
}

/** Asks whether we are signed in, and shows what that allows. */
async function begin() {
  session = await get("/session");
  if (!session.signed_in) return signIn();
  by("sign-in").hidden = true;
  by("token").value = "";
  by("nav").hidden = false;
  by("session").hidden = false;
  by("host").textContent = session.hostname;
  return show();
}

by("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  enter(by("token").value);
});
by("sign-out").addEventListener("click", async () => {
  await guard(() => post("/sign-out"));
  signIn("You are signed out.");
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  by("main").focus();
});
addEventListener("hashchange", () => {
  if (!session.signed_in) return;
  show();
  by("main").focus({ preventScroll: true });
  scrollTo(0, 0);
});
setInterval(tick, 1000);

// A sign-in link carries the token behind the #, which no server and no log sees; it is used once.
const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given !== null) {
  history.replaceState(null, "", "/");
  enter(given);
} else {
  begin().catch((error) => say(`Sorry: ${error.message}.`, true));
}
