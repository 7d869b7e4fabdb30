// Making and finding elements. Whatever is shown is set as text, never as markup.

export const byId = (id) => document.getElementById(id);
export const body = document.body;
export const canAct = body.dataset.role === 'act';

const SVG = 'http://www.w3.org/2000/svg';

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An element: `h('p', { class: 'soft', onclick: f }, 'text', other)`. */
export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);

/** Likewise, of a drawing. */
export const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

/** A mark whose shape says the level, as its colour does; its words stand beside it. */
export function mark(level) {
  return svg('svg', { class: 'mark', 'data-level': level, 'aria-hidden': 'true' }, svg('use', { href: `#i-${level}` }));
}

/** Sets a text where it is another: what is read aloud is not repeated. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Replaces a list's rows by new ones, but keeps those of the same `data-key` and `data-of`, open or focused as they are. */
export function reconcile(list, rows) {
  const known = new Map([...list.children].map((row) => [row.dataset.key, row]));
  const wanted = rows.map((row) => {
    const old = known.get(row.dataset.key);
    if (!old) return row;
    if (old.dataset.of === row.dataset.of) return old;
    const [was, is] = [old.querySelector('details'), row.querySelector('details')];
    if (was?.open && is) is.open = true;
    return row;
  });
  wanted.forEach((row, place) => {
    if (list.children[place] !== row) list.insertBefore(row, list.children[place] ?? null);
  });
  while (list.children.length > wanted.length) list.lastElementChild.remove();
}
