// Asking the server. What it answers is a value; what it refuses is an error with its sentence.

export class SignedOut extends Error {}

async function call(path, options) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", cache: "no-store", redirect: "error", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("the server does not answer");
  }
  let value = {};
  try {
    value = await response.json();
  } catch {
    // A refusal without words.
  }
  if (response.status === 401 && path.startsWith("/api/")) throw new SignedOut("signed out");
  if (!response.ok) throw new Error(value.error ?? `the server answered ${response.status}`);
  return value;
}

export function get(path, query, signal) {
  const filled = Object.entries(query ?? {}).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const text = new URLSearchParams(filled).toString();
  return call(text ? `${path}?${text}` : path, { signal });
}

export function post(path, body) {
  return call(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body ?? {}) });
}
