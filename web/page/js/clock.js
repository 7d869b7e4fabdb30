// The server's time, whatever this machine's clock says: ages are reckoned by it.

// What it is ahead of this clock, in ms, lies between these; each answer narrows them.
let lowest = -Infinity;
let highest = Infinity;

/** The server's clock stood between `from` and `to` at some moment between `sent` and `received` of this one. */
export function learn(from, to, sent, received = Date.now()) {
  const [low, high] = [from - received, to - sent];
  if (low > highest || high < lowest) [lowest, highest] = [low, high]; // one of the two clocks was set
  else [lowest, highest] = [Math.max(low, lowest), Math.min(high, highest)];
}

/** From an answer's Date header, which has whole seconds and may be a second late. */
export function learnFrom(response, sent) {
  const date = Date.parse(response.headers.get('Date') ?? '');
  if (!Number.isNaN(date)) learn(date, date + 2000, sent);
}

/** Now, by the server's clock, in ms. */
export function now() {
  if (lowest <= 0 && highest >= 0) return Date.now();
  return Date.now() + (Number.isFinite(lowest + highest) ? (lowest + highest) / 2 : 0);
}
