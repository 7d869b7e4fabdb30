// Numbers that are read at a glance.

import { h } from './dom.js';
import { count } from './times.js';

/** Fills a <dl> with [name, number, level or null]. */
export function tiles(list, numbers) {
  list.replaceChildren(...numbers.map(([name, number, level]) =>
    h('div', { class: 'tile', 'data-level': level }, h('dt', {}, name), h('dd', {}, count(number)))));
}
