// Making elements. Everything that came from the gateway is text of strangers:
// it goes into text nodes, never into markup, attribute names or addresses.

export const $ = (id) => document.getElementById(id);

// h makes an element; names of attributes are always the page's own.
export function h(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.flat(Infinity).filter((c) => c !== undefined && c !== null && c !== false));
  return node;
}

export function svg(tag, attributes, ...children) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// clean shows what would not be seen, or would turn the text around.
export function clean(value, most = 400) {
  const text = String(value ?? '').replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}]/gu, '\uFFFD').toWellFormed();
  return text.length > most ? text.slice(0, most) + ' … (' + text.length + ' characters)' : text;
}

// state is a shape and a word for ok, warn, bad and idle.
export function state(kind, word) {
  return h('span', { class: 'state ' + kind }, icon(kind), h('span', {}, word));
}

export function icon(kind) {
  return svg('svg', { class: 'icon', 'aria-hidden': 'true' }, svg('use', { href: '#i-' + kind }));
}

// fill replaces what is in node if it looks different: a node that did not
// change keeps its focus and is not read out again.
export function fill(node, ...children) {
  const next = h('div', {}, ...children);
  if (node.innerHTML !== next.innerHTML) node.replaceChildren(...next.childNodes);
}

// facts is a list of names and values; a value of null leaves the line out.
export function facts(pairs, kind = '') {
  return h('dl', { class: 'facts ' + kind }, pairs.filter(([, v]) => v !== null && v !== undefined && v !== '')
    .map(([name, value]) => [h('dt', {}, name), h('dd', {}, ...[value].flat())]));
}

// keyed makes parent hold one child for each item, and keeps those that it had:
// what is open stays open and what has the focus keeps it.
export function keyed(parent, items, keyOf, make, update) {
  const old = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  let place = parent.firstElementChild;
  const taken = new Map();
  for (const item of items) {
    // Two items may have one key.
    const name = keyOf(item);
    const nth = taken.get(name) || 0;
    taken.set(name, nth + 1);
    const key = nth + ' ' + name;
    let node = old.get(key);
    old.delete(key);
    if (!node) {
      node = make(item);
      node.dataset.key = key;
    }
    update(node, item);
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
  for (const node of old.values()) node.remove();
}

// say puts a message of an action where it is read out.
export function say(node, kind, text) {
  if (!text) node.replaceChildren();
  else node.replaceChildren(h('span', { class: kind }, icon(kind), ' ', h('span', {}, clean(text, 2000))));
}
