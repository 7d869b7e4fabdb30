// Asks /api/status again and again and shows what it says. Ages are reckoned here, so they grow while nothing comes.

const EVERY_MS = 2000;
const WORDS = {
  starting: 'Starting',
  awaiting_scan: 'Waiting for the QR code to be scanned',
  syncing: 'Syncing',
  ready: 'Ready',
  disconnected: 'Disconnected from WhatsApp',
  conflict: 'Open in another place',
  logged_out: 'Logged out',
  blocked: 'Blocked by WhatsApp',
  stopping: 'Stopping',
};
const FACTS = [
  ['Verdict', (agent) => `${agent.verdict} (${agent.verdict_reason})`],
  ['In this state since', (agent) => age(agent.since)],
  ['Agent heard', (agent) => age(agent.heartbeat_at)],
  ['Page answered', (agent) => age(agent.page_seen_at)],
  ['Server heard', (agent) => age(agent.frame_seen_at)],
  ['Running operation', (agent) => agent.operation],
  ['Start', (agent) => `number ${agent.epoch}, ${age(agent.started_at)}`],
  ['Browser', (agent) => agent.browser_version],
  ['WhatsApp Web', (agent) => agent.whatsapp_web_version],
  ['wa-js', (agent) => agent.wa_js_version],
];
const GOOD = ['healthy', 'waiting_for_person', 'degraded'];

const element = (id) => document.getElementById(id);
let shownQr = null;

function age(time) {
  if (!time) return 'never';
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(time)) / 1000));
  if (seconds < 120) return `${seconds} s ago`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min ago` : `${Math.round(seconds / 3600)} h ago`;
}

function say(text, verdict) {
  element('state').textContent = text;
  element('state').dataset.verdict = GOOD.includes(verdict) ? verdict : 'bad';
}

function show({ redis, agent, qr }) {
  if (!agent) return say(redis ? 'No agent has spoken yet' : 'Redis does not answer', 'bad');
  element('session').textContent = agent.session_id;
  const silent = agent.heartbeat_age_s > 60;
  say(silent ? 'The agent is silent' : WORDS[agent.state] ?? agent.state, silent ? 'bad' : agent.verdict);
  showQr(qr);
  element('facts').replaceChildren(
    ...FACTS.flatMap(([name, read]) => {
      const value = read(agent);
      if (!value) return [];
      const [term, definition] = [document.createElement('dt'), document.createElement('dd')];
      [term.textContent, definition.textContent] = [name, value];
      return [term, definition];
    }),
  );
}

function showQr(qr) {
  element('qr').hidden = !qr;
  if (!qr) return;
  const name = `${qr.sequence}-${qr.expires_at}`;
  if (name !== shownQr) element('qr-image').src = `/qr.png?${encodeURIComponent(name)}`;
  shownQr = name;
  const left = Math.max(0, Math.round((Date.parse(qr.expires_at) - Date.now()) / 1000));
  element('qr-left').textContent = `Valid for ${left} s.`;
}

async function refresh() {
  try {
    const response = await fetch('/api/status');
    if (response.status === 401) say('The token is not valid any more: open the page with it again', 'bad');
    else show(await response.json());
  } catch {
    say('The service does not answer', 'bad');
  }
  setTimeout(refresh, EVERY_MS);
}

refresh();
