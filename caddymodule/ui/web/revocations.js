// Searching the revocation list, and taking back.
import { $, clean, h, icon, say } from './dom.js';
import { ask } from './api.js';
import { confirm } from './dialog.js';
import { relative, stamp } from './clock.js';
import { plural } from './status.js';

const limit = 25;
let query = {}; // of the pages that are leafed through
let before = []; // cursors of the pages before
let here; // cursor of this page
let next; // of the page after, undefined for none
let asked = 0; // the last one wins

export function prepareSearch() {
  $('r-search').addEventListener('submit', (event) => {
    event.preventDefault();
    search();
  });
  $('r-undone').addEventListener('change', search);
  $('r-kind').addEventListener('change', search);
  $('r-next').addEventListener('click', () => {
    before.push(here);
    load(next, $('r-next'));
  });
  $('r-prev').addEventListener('click', () => load(before.pop(), $('r-prev')));
}

// search begins at the first page with what the form says.
export function search() {
  query = { limit };
  for (const [name, id] of [['kind', 'r-kind'], ['issuer', 'r-issuer'], ['value', 'r-value']]) {
    const value = $(id).value.trim();
    if (value) query[name] = value;
  }
  if ($('r-undone').checked) query.undone = true;
  before = [];
  return load(undefined);
}

// reload asks for the same page again.
export const reload = () => load(here);

async function load(cursor, focus) {
  const mine = ++asked;
  try {
    const page = await ask('POST', 'revocations/query', cursor ? { ...query, cursor } : query);
    if (mine !== asked) return;
    here = cursor;
    next = page.cursor || undefined;
    show(page.revocations || []);
    say($('r-said'), 'idle', found((page.revocations || []).length));
  } catch (e) {
    if (mine !== asked) return;
    say($('r-said'), 'bad', e.message);
  }
  $('r-prev').disabled = before.length === 0;
  $('r-next').disabled = next === undefined;
  if (focus?.disabled) ($('r-prev').disabled ? $('r-next') : $('r-prev')).focus();
}

function found(n) {
  const page = before.length + 1;
  if (n === 0 && next) return 'Nothing on this page; there are more.';
  if (n === 0) return page > 1 ? 'Nothing more.' : 'Nothing was found.';
  return plural(n, 'revocation') + (next || page > 1 ? ', page ' + page : '') + (next ? ', there are more' : '');
}

const inForce = (e) => !e.undone_at || Date.parse(e.undone_at) <= Date.parse(e.revoked_at);

function show(entries) {
  const cell = (label, ...children) => h('td', { 'data-label': label, role: 'cell' }, ...children);
  const time = (t) => (t ? h('time', { class: 'when', datetime: t, title: t + ', ' + relative(t) }, stamp(t)) : '-');
  $('r-rows').replaceChildren(...entries.map((e) => {
    const active = inForce(e);
    const name = e.kind + (e.value ? ' ' + clean(e.value, 60) : '') + ' of ' + clean(e.issuer, 120);
    const undo = active && h('button', { type: 'button', class: 'slim', 'data-changes': true, 'aria-label': 'Undo ' + name }, 'Undo …');
    if (undo) undo.addEventListener('click', () => askUndo(e, name));
    return h('tr', { role: 'row', class: active ? '' : 'undone', 'data-id': clean(e.id, 80) },
      cell('Kind', clean(e.kind, 20), !active && h('span', { class: 'state idle' }, ' ', icon('idle'), ' undone')),
      cell('Value', h('span', { class: 'value mono' }, clean(e.value || '(all)', 200))),
      cell('Issuer', clean(e.issuer, 200)),
      cell('Revoked', time(e.revoked_at)),
      cell('Issued until', e.cutoff ? time(e.cutoff) : 'any'),
      cell('Kept until', time(e.until)),
      cell('By', clean([e.via, e.by].filter(Boolean).join(', ') || '-', 120), e.note && h('span', { class: 'why' }, clean(e.note, 300))),
      h('td', { role: 'cell' }, undo || ''));
  }));
}

function askUndo(e, name) {
  confirm({
    title: 'Undo this revocation?',
    text: 'Tokens that are alive are accepted again: ' + name + '.',
    yes: 'Undo it',
    note: true,
    run: async (note) => {
      await ask('DELETE', 'revocations/' + encodeURIComponent(e.id), note ? { note } : undefined);
      await load(here);
      say($('r-said'), 'ok', 'Undone: ' + name);
    },
    // Its button is gone: the focus would be lost with it.
    after: () => $('r-value').focus(),
  });
}
