// An event in a line: nothing personal is in it.

import { size, took } from './times.js';
import { STATES } from './words.js';

export const EVENT_GROUPS = {
  State: ['state_changed', 'ready', 'disconnected', 'authenticated', 'auth_failure', 'qr'],
  Messages: ['message', 'media', 'message_ack'],
  Care: ['alert', 'reset', 'restarted'],
  Session: ['session_saved', 'session_restored'],
};

const BAD = new Set(['alert', 'auth_failure', 'disconnected']);

/** At which an event is shown. */
export const eventLevel = ({ type, data }) =>
  BAD.has(type) || data.status === 'failed' || data.ack === 'failed' ? 'bad' : type === 'ready' ? 'good' : null;

const state = (name) => (STATES[name] ?? name).toLowerCase();
const reason = (data) => (data.reason ? ` (${data.reason})` : '');

const WORDS = {
  qr: ({ sequence }) => `code ${sequence} is on show`,
  authenticated: ({ restored }) => (restored ? 'the account is known, without a scan' : 'a phone was linked'),
  ready: () => 'messages flow',
  auth_failure: (data) => `a scan is needed${reason(data)}`,
  disconnected: (data) => `${state(data.state)}${reason(data)}`,
  state_changed: (data) => `${state(data.previous)} → ${state(data.state)}${reason(data)}`,
  message: (data) =>
    [data.from_me ? `${data.type} from here` : data.type, data.is_group ? 'in a group' : 'in a chat',
      data.source === 'backfill' ? 'found later' : null, data.media ? `file ${data.media.status}` : null].filter(Boolean).join(', '),
  media: (data) =>
    data.status === 'stored' ? `stored, ${data.size ? size(data.size) : ''}${data.took_ms ? ` in ${took(data.took_ms)}` : ''}` : `failed: ${data.error}`,
  message_ack: (data) => `${data.ack}${data.error ? `: ${data.error}` : ''}, ${data.idempotency_key}`,
  session_saved: (data) => `${data.is_new ? 'saved' : 'unchanged, verified'}, ${size(data.stored_bytes)} in ${took(data.took_ms)}, for ${data.cause}`,
  session_restored: (data) => `${data.generation} in ${took(data.took_ms)}`,
  reset: (data) => `by ${data.how}, ${data.proven ? 'proven' : 'not proven'}, ${took(data.took_ms)}, for ${data.cause}`,
  restarted: (data) => `${data.what}, for ${data.cause}`,
  alert: (data) => `${data.code}: ${data.message}`,
};

export function eventWords(event) {
  try {
    return WORDS[event.type]?.(event.data) ?? '';
  } catch {
    return ''; // of a later version, with other data
  }
}

/** Without what would link a phone. */
export function withoutSecrets(event) {
  return event.type === 'qr' ? { ...event, data: { ...event.data, payload: '(not shown)' } } : event;
}
