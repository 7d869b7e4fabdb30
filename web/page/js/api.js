// Asking the API: with a deadline, the token against forged requests, and errors as the API tells them.

import { body } from './dom.js';
import { learnFrom } from './times.js';

export class ApiError extends Error {
  /** `code` is the API's, or `unreachable`. */
  constructor(status, code, detail, retryable) {
    super(detail);
    Object.assign(this, { status, code, retryable });
  }

  /** In a sentence, with what to do. */
  get words() {
    const known = {
      unreachable: 'The service does not answer.',
      redis_away: 'Redis does not answer.',
      agent_unreachable: 'No agent listens for commands. Restart the agent, or wait for the watchdog to do so.',
      no_reply: 'The agent did not answer in time.',
      busy: `Not now: ${this.message}.`,
      unauthorized: 'You are signed out.',
    };
    return known[this.code] ?? `${this.message.charAt(0).toUpperCase()}${this.message.slice(1)} (${this.code}).`;
  }
}

/** The answer's document. Raises ApiError. */
export const get = (path, withinMs = 15_000) => ask(path, {}, withinMs);

/** Likewise, of what acts. */
export function post(path, document = {}, withinMs = 150_000) {
  const headers = { 'Content-Type': 'application/json', 'X-CSRF-Token': body.dataset.csrf };
  return ask(path, { method: 'POST', headers, body: JSON.stringify(document) }, withinMs);
}

async function ask(path, options, withinMs) {
  const sent = Date.now();
  let response;
  let document;
  try {
    response = await fetch(path, { ...options, signal: AbortSignal.timeout(withinMs) });
    document = await response.json().catch((error) => (error instanceof SyntaxError ? {} : Promise.reject(error)));
  } catch {
    throw new ApiError(0, 'unreachable', 'the service does not answer', true);
  }
  learnFrom(response, sent);
  if (response.ok) return document;
  const detail = document.detail ?? response.statusText;
  throw new ApiError(response.status, document.code ?? String(response.status), detail, document.retryable ?? false);
}
