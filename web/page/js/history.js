// The last 24 hours of checks: a strip of verdicts, how long the page took to answer, and memory; read by a slider,
// by its table, or in its sentences.

import { byId, h, mark, say, svg } from './dom.js';
import { get } from './api.js';
import { atHour, lasting, now, size, took } from './times.js';
import { by, hours, SEGMENT_MS, SEGMENTS, spans, summary, times } from './history_data.js';
import { live } from './live.js';
import { panel } from './panel.js';
import { verdictWords } from './words.js';

const EVERY_MS = 60_000;
const [WIDTH, STRIP, PLOT] = [SEGMENTS, 34, 72];
// The height of a segment says its level, as its colour does.
const HEIGHTS = { good: 12, person: 18, warn: 25, bad: STRIP, none: 2 };

const parts = {
  sentence: h('p', {}),
  strip: plain('strip', STRIP),
  legend: h('ul', { class: 'legend' }),
  latency: plain('plot', PLOT),
  latencyScale: h('figcaption'),
  memory: plain('plot', PLOT),
  memoryScale: h('figcaption'),
  slider: h('input', {
    type: 'range', class: 'scrub', id: 'history-slider', min: 0, max: SEGMENTS - 1, value: SEGMENTS - 1,
    'aria-label': 'Moment of the last 24 hours', 'aria-describedby': 'history-read', oninput: () => readOff(),
  }),
  read: h('output', { class: 'read', id: 'history-read', for: 'history-slider' }),
  spans: h('tbody'),
  hours: h('tbody'),
};
let segments = [];

function plain(kind, height) {
  return svg('svg', { class: kind, viewBox: `0 0 ${WIDTH} ${height}`, preserveAspectRatio: 'none', height, 'aria-hidden': 'true' });
}

const table = (caption, heads, tbody) =>
  h('table', {}, h('caption', {}, caption),
    h('thead', {}, h('tr', {}, heads.map((head) => h('th', { scope: 'col' }, head)))), tbody);

function build() {
  byId('history-body').replaceChildren(
    parts.sentence,
    h('figure', {}, parts.strip),
    h('div', { class: 'axis', 'aria-hidden': 'true', id: 'history-axis' }),
    parts.legend,
    h('figure', {}, parts.latencyScale, parts.latency),
    h('figure', {}, parts.memoryScale, parts.memory),
    parts.slider,
    parts.read,
    h('details', {}, h('summary', {}, 'As tables'),
      h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'History as tables' },
        table('When it was not healthy', ['From', 'For', 'What'], parts.spans),
        table('By the hour', ['Hour', 'Worst', 'Checks', 'Failed', 'Median', 'Slowest', 'Memory'], parts.hours))),
  );
  for (const chart of [parts.strip, parts.latency, parts.memory]) {
    chart.addEventListener('pointermove', (event) => pointAt(event, chart));
    chart.addEventListener('pointerdown', (event) => pointAt(event, chart));
  }
}

function pointAt(event, chart) {
  const { left, width } = chart.getBoundingClientRect();
  parts.slider.value = Math.floor(((event.clientX - left) / width) * SEGMENTS);
  readOff();
}

function show({ minutes }) {
  if (!parts.sentence.isConnected) build();
  segments = by(minutes, now());
  say(parts.sentence, summary(minutes));
  drawStrip();
  drawLegend(times(minutes));
  draw(parts.latency, [['worst', 'max'], ['line', 'p50']], scaleOf(segments.map(({ max }) => max)));
  const limit = live.agent?.memory_limit_bytes ?? null;
  draw(parts.memory, [['line', 'memory']], scaleOf([...segments.map(({ memory }) => memory), limit && limit * 0.9]), limit);
  caption(parts.latencyScale, 'Time of a check (dashed: the slowest)', scaleOf(segments.map(({ max }) => max)), took);
  caption(parts.memoryScale, `Memory of the browser${limit ? ` (dashed: its limit, ${size(limit)})` : ''}`,
    scaleOf([...segments.map(({ memory }) => memory), limit && limit * 0.9]), size);
  byId('history-axis').replaceChildren(...[0, 0.25, 0.5, 0.75, 1].map((part) =>
    h('span', {}, part === 1 ? 'now' : atHour(segments[0].from + part * SEGMENTS * SEGMENT_MS))));
  fillTables(spans(minutes));
  readOff();
}

function caption(element, words, most, unit) {
  element.replaceChildren(h('span', {}, words), h('span', {}, most ? `up to ${unit(most)}` : 'not known'));
}

function drawStrip() {
  const rects = [];
  let begin = 0;
  for (let place = 1; place <= SEGMENTS; place += 1) {
    if (place < SEGMENTS && segments[place].level === segments[begin].level) continue;
    const { level } = segments[begin];
    rects.push(svg('rect', {
      'data-level': level, x: begin, width: place - begin, y: STRIP - HEIGHTS[level], height: HEIGHTS[level],
    }));
    begin = place;
  }
  parts.strip.replaceChildren(svg('rect', { class: 'ground', width: WIDTH, height: STRIP }), ...rects, cursor(STRIP));
}

function drawLegend(lasted) {
  const words = { good: 'healthy', person: 'waited for a person', warn: 'coming up', bad: 'not well', none: 'not checked' };
  parts.legend.replaceChildren(...Object.entries(words).map(([level, text]) => {
    return lasted[level] ? h('li', {}, mark(level), ` ${text} ${lasting(lasted[level])}`) : null;
  }).filter(Boolean));
}

/** The top of a scale: above all values, a round number. Null where there is none. */
function scaleOf(values) {
  const most = Math.max(0, ...values.filter((value) => value !== null && value !== undefined));
  if (!most) return null;
  const step = 10 ** Math.floor(Math.log10(most));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((times) => times * step).find((top) => top >= most);
}

function draw(chart, lines, most, limit = null) {
  const drawn = [0.5, 1].map((part) => svg('line', { class: 'grid', x1: 0, x2: WIDTH, y1: PLOT * part, y2: PLOT * part }));
  if (most) {
    const y = (value) => (PLOT - (value / most) * (PLOT - 2)).toFixed(1);
    for (const [name, of] of lines) {
      const [line, area] = paths(segments.map((segment) => segment[of]), y);
      if (name === 'line') drawn.push(svg('path', { class: 'area', d: area }));
      drawn.push(svg('path', { class: name, d: line }));
    }
    if (limit && limit <= most) drawn.push(svg('line', { class: 'limit', x1: 0, x2: WIDTH, y1: y(limit), y2: y(limit) }));
  }
  chart.replaceChildren(...drawn, cursor(PLOT));
}

/** A line, and the area below it; broken where nothing is known. */
function paths(values, y) {
  let [line, area, from] = ['', '', null];
  values.forEach((value, place) => {
    const known = value !== null;
    if (known && from === null) {
      from = place;
      line += `M${place} ${y(value)}h1`;
      area += `M${place} ${PLOT}V${y(value)}h1`;
    } else if (known) {
      line += `L${place + 0.5} ${y(value)}`;
      area += `L${place + 0.5} ${y(value)}`;
    }
    if (from !== null && (!known || place === values.length - 1)) {
      area += `V${PLOT}z`;
      from = null;
    }
  });
  return [line, area];
}

const cursor = (height) => svg('line', { class: 'cursor', x1: WIDTH, x2: WIDTH, y1: 0, y2: height });

function readOff() {
  const place = Number(parts.slider.value);
  const segment = segments[place];
  if (!segment) return;
  for (const line of byId('history-body').querySelectorAll('.cursor')) {
    line.setAttribute('x1', place + 0.5);
    line.setAttribute('x2', place + 0.5);
  }
  const text = describe(segment);
  parts.slider.setAttribute('aria-valuetext', text);
  parts.read.replaceChildren(mark(segment.level), ` ${text}`);
}

function describe({ from, verdict, reason, checks, bad, p50, max, memory }) {
  const span = `${atHour(from)} to ${atHour(from + SEGMENT_MS)}`;
  if (!checks) return `${span}: not checked`;
  return [
    `${span}: ${verdictWords(verdict)}${reason && reason !== 'ready' ? ` (${reason})` : ''}`,
    `${checks} checks${bad ? `, ${bad} failed` : ''}`,
    p50 === null ? null : `median ${took(p50)}, slowest ${took(max ?? p50)}`,
    memory === null ? null : size(memory),
  ].filter(Boolean).join('; ');
}

function fillTables(found) {
  parts.spans.replaceChildren(...(found.length ? found : [null]).map((span) => h('tr', {}, span
    ? [h('th', { scope: 'row' }, atHour(span.from)), h('td', {}, lasting(span.lasts)),
      h('td', {}, mark(span.level), ` ${verdictWords(span.verdict)} (${span.reason})`)]
    : h('td', { colspan: 3 }, 'At no time.'))));
  parts.hours.replaceChildren(...hours(segments).map(({ from, level, verdict, checks, bad, p50, max, memory }) => h('tr', {},
    h('th', { scope: 'row' }, atHour(from)),
    h('td', {}, mark(level), ` ${checks ? verdictWords(verdict) : 'Not checked'}`),
    h('td', {}, String(checks)),
    h('td', {}, String(bad)),
    h('td', {}, p50 === null ? '' : took(p50)),
    h('td', {}, max === null ? '' : took(max)),
    h('td', {}, memory === null ? '' : size(memory)))));
}

panel('history', {
  load: () => get('/api/history'),
  show,
  everyMs: EVERY_MS,
});
