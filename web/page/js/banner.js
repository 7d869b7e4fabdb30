// What stands above everything: that something keeps this page from telling the truth as it is now.

import { byId, h } from './dom.js';

const banner = byId('banner');

/** Say it, with what helps as a link. */
export function warn(text, href = '/', words = 'Load the page again') {
  if (banner.dataset.says === text) return;
  banner.dataset.says = text;
  banner.replaceChildren(text, ' ', h('a', { href }, words), '.');
  banner.hidden = false;
}
