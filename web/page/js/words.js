// What a state, a verdict or a reason means, in words, and what to do about it.

export const STATES = {
  starting: 'Starting',
  awaiting_scan: 'Waiting for a scan',
  syncing: 'Syncing',
  ready: 'Ready',
  disconnected: 'Disconnected from WhatsApp',
  conflict: 'Open in another place',
  logged_out: 'Logged out of WhatsApp',
  blocked: 'Blocked by WhatsApp',
  stopping: 'Stopping',
};

/** Each with the level that it is shown at, and what it is called. */
export const VERDICTS = {
  healthy: ['good', 'Healthy'],
  waiting_for_person: ['person', 'Waits for a person'],
  degraded: ['warn', 'Coming up, or held up'],
  disconnected: ['bad', 'Disconnected'],
  deaf: ['bad', 'Messages are not told'],
  page_hung: ['bad', 'The page hangs'],
  browser_gone: ['bad', 'The browser is gone'],
  blocked: ['bad', 'Blocked'],
  agent_hung: ['bad', 'The agent hangs'],
  agent_gone: ['bad', 'The agent is gone'],
};

export const levelOf = (verdict) => VERDICTS[verdict]?.[0] ?? 'bad';
export const verdictWords = (verdict) => VERDICTS[verdict]?.[1] ?? verdict;

const LADDER = 'The watchdog cures it by the cheapest step that works; incidents below say what was done.';
const BY_ITSELF = 'Nothing needs to be done: it is tried again by itself.';

// A reason's words: why, and what to do. Those of docs/operations.md and docs/health.md, in short.
const REASONS = {
  ready: ['Messages flow: server, page and agent were all heard a moment ago.'],
  awaiting_scan: ['No phone is linked. A code is on show until one is.', 'Scan the code below with the phone, or link by its number.'],
  logged_out: ['The phone, or a command, has unlinked this device.', 'Scan the code that follows.'],
  conflict: ['The account is open in another WhatsApp Web, which has taken over.', 'Close it there, then reset the connection here.'],
  start_budget_spent: ['The browser was started too often and did not come up; it is left alone for a while.', 'See its last words in the log, then restart the browser.'],
  stopping: ['The service is being stopped or started again.'],
  agent_slow: ['The agent itself was held up, by the machine or by its work; it judges again when it has caught up.', 'If it comes again and again, give the container more processor time.'],
  starting: ['Agent, browser and page are coming up.'],
  syncing: ['The phone is linked; the page loads what it missed.'],
  site_unreachable: ['WhatsApp’s site cannot be loaded from here: network, proxy or name server.', BY_ITSELF],
  site_silent: ['WhatsApp’s site does not answer this machine.', `${BY_ITSELF} Look at network and proxy if it lasts.`],
  browser_offline: ['The browser does not reach the site, though this container does.', LADDER],
  browser_silent: ['The browser has not been heard for half a minute.', LADDER],
  page_silent: ['The page has not answered for half a minute.', LADDER],
  page_timeout: ['The page did not answer a check.', LADDER],
  page_crashed: ['The page has crashed.', LADDER],
  browser_gone: ['The browser has ended.', LADDER],
  link_stale: ['WhatsApp’s server has not been heard for too long.', LADDER],
  link_silent: ['WhatsApp’s server was silent and left a question unanswered.', LADDER],
  link_dropped: ['The connection to WhatsApp’s server broke.', LADDER],
  offline: ['The browser has no network.', BY_ITSELF],
  page_reloaded: ['The page is being loaded anew.'],
  reset: ['The connection is being reset.'],
  reload: ['The page is being loaded anew.'],
  restart_browser: ['The browser is being restarted.'],
  backup: ['The session is being saved.'],
  logout: ['The device is being unlinked.'],
  not_authenticated: ['The page says that no account is logged in.', LADDER],
  calls_broken: ['This build of WhatsApp Web breaks calls that everything needs.', 'Update this service; docs/versions.md.'],
  message_unheard: ['Messages reach the page, which does not tell of them.', LADDER],
  stuck_in_starting: ['It has been starting for too long.', LADDER],
  stuck_in_syncing: ['It has been syncing for too long.', LADDER],
  stuck_in_disconnected: ['It has been disconnected for too long.', LADDER],
  stuck_in_conflict: ['The account has been open in another place for too long.', 'Close it there, then reset the connection here.'],
  proxyblock: ['WhatsApp refuses the address this service comes from.', 'Look at the phone, and at the proxy.'],
  tos_block: ['WhatsApp has blocked the account for its terms of service.', 'Look at the phone.'],
  smb_tos_block: ['WhatsApp has blocked the business account for its terms of service.', 'Look at the phone.'],
  deprecated_version: ['WhatsApp does not let this version of its page in any more.', 'Update this service.'],
  blocked: ['WhatsApp lets the account, the address or the version not in.', 'Look at the phone; update this service.'],
  store_unavailable: ['The store of the session does not answer; no code is shown over it.', BY_ITSELF],
  disk_trouble: ['The disk is full or cannot be written.', 'Make room: it then goes on by itself.'],
  store_refused: ['The store refuses: its keys or rights are wrong.', 'Mend them, then restart the container; docs/sessions.md.'],
  wrong_key: ['The session is encrypted with another key.', 'Add that key to SESSION_ENCRYPTION_KEY.'],
  newer_browser: ['The session was made by a newer browser.', 'Run an image that has it.'],
  newer_format: ['A later version of this service has written the session.', 'Run that version.'],
  bad_archive: ['The session in the store cannot be used, and there is none here.', 'docs/sessions.md says what can be done; deleting it begins anew with a scan.'],
  outrun: ['Another container has taken the session; this one stands aside.', 'If this one is to have it: stop the other for good, then restart the agent here.'],
  internal: ['The agent met a bug of its own; its log has it.', BY_ITSELF],
  no_reply: ['The agent listens but does not answer.', LADDER],
  nobody_listens: ['Nobody listens for commands.', LADDER],
};

// Where neither the state nor the verdict says what it is.
const CANNOT_RESTORE = 'The session cannot be restored';
const TITLES = {
  start_budget_spent: 'The browser is left alone',
  agent_slow: 'The agent is held up',
  calls_broken: 'WhatsApp Web has changed',
  site_unreachable: 'WhatsApp cannot be reached',
  site_silent: 'WhatsApp cannot be reached',
  outrun: 'Another container has the session',
  store_unavailable: 'The session’s store does not answer',
  disk_trouble: 'The disk is in trouble',
  store_refused: CANNOT_RESTORE,
  wrong_key: CANNOT_RESTORE,
  newer_browser: CANNOT_RESTORE,
  newer_format: CANNOT_RESTORE,
  bad_archive: CANNOT_RESTORE,
};

/** Why, in a sentence, and what to do, or null. A reason that is not known is told as it is. */
export function reasonWords(reason) {
  const [why, todo] = REASONS[reason] ?? [reason ? `The reason given is “${reason}”.` : '', null];
  return { why, todo: todo ?? null };
}

const SILENT_MS = 20_000;
const GONE_MS = 60_000;

/** What is shown of a status at a moment: {level, title, why, todo, since, form}. Pure. */
export function describe(agent, redis, now) {
  if (!redis && !agent) {
    return said('bad', 'Redis does not answer', 'Nothing is known of the session while it is away.', REDIS_TODO);
  }
  if (!agent) {
    return said('warn', 'No agent has spoken yet', 'It is starting for the first time, or something keeps it.',
      'If this lasts for minutes, see the log or run: whatsapp-container doctor.');
  }
  if (!redis) {
    return said('bad', 'Redis does not answer',
      `The last that is known is “${STATES[agent.state] ?? agent.state}”.`, REDIS_TODO, agent.heartbeat_at, 'last');
  }
  const silent = now - Date.parse(agent.heartbeat_at);
  if (silent > SILENT_MS) {
    const level = silent > GONE_MS ? 'bad' : 'warn';
    return said(level, 'The agent is silent',
      `Before that it was “${STATES[agent.state] ?? agent.state}”. What stands below is the last that it said.`,
      'A dead agent is started again within seconds, one that hangs within about a minute. If not: restart the agent.',
      agent.heartbeat_at, 'silent');
  }
  const { why, todo } = reasonWords(agent.verdict_reason);
  return said(levelOf(agent.verdict), titleOf(agent), why, todo, agent.since);
}

const OF_THE_STATE = new Set(['healthy', 'waiting_for_person', 'degraded', 'blocked', 'disconnected']);

function titleOf({ state, verdict, verdict_reason: reason }) {
  if (TITLES[reason]) return TITLES[reason];
  const isBorneOut = verdict === 'healthy' || state !== 'ready';
  return OF_THE_STATE.has(verdict) && isBorneOut ? STATES[state] ?? state : verdictWords(verdict);
}

const REDIS_TODO = 'Every process waits for it and goes on when it is back; this page, too.';

const said = (level, title, why, todo = null, since = null, form = 'state') => ({ level, title, why, todo, since, form });
