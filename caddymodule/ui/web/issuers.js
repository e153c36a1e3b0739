// The issuers with their keys, and fetching them now.
import { $, clean, facts, fill, h, keyed, say, state } from './dom.js';
import { ask } from './api.js';
import { coarse, duration, gatewayNow, when } from './clock.js';
import { sources } from './words.js';
import { fault, plural } from './status.js';

const mark = (i) => (!i.usable ? ['bad', 'no usable keys'] : i.stale ? ['warn', 'last good keys'] : i.last_error ? ['warn', 'usable, last fetch failed'] : ['ok', 'usable']);

// Two gates may configure one issuer with different sources.
const keyOf = (i) => JSON.stringify([i.issuer, i.source, i.location]);

export function issuers(s, again) {
  const list = s.issuers || [];
  keyed($('issuer-list'), list, keyOf, (i) => make(i, again), update);
  fill($('issuer-names'), [...new Set(list.map((i) => i.issuer))].map((name) => h('option', { value: name })));
  if (list.length === 0) fill($('issuer-list'), h('li', { class: 'hint' }, 'No issuer is configured.'));
}

function make(i, again) {
  const button = h('button', { type: 'button', class: 'slim', 'data-changes': true, 'aria-label': 'Fetch keys of ' + clean(i.issuer, 200) + ' now' }, 'Fetch now');
  button.addEventListener('click', () => refresh(i.issuer, button, again));
  return h('li', { class: 'issuer' },
    h('div', { class: 'head' }, h('h3', {}, clean(i.issuer, 300)), i.source !== 'secret' && button),
    h('div', { class: 'now' }),
    h('details', {}, h('summary', {}, 'Keys'), h('div', { class: 'keys scroll', tabindex: 0, role: 'region', 'aria-label': 'Keys of ' + clean(i.issuer, 200) })));
}

function update(node, i) {
  const keys = i.keys || [];
  const age = i.fetched_at ? (gatewayNow() - Date.parse(i.fetched_at)) / 1000 : i.age_seconds;
  fill(node.querySelector('.now'),
    state(...mark(i)),
    facts([
      ['Keys', plural(keys.length, 'key') + (age >= 0 && keys.length ? ', fetched ' + duration(age) + ' ago' : '')],
      ['Source', (sources[i.source] || clean(i.source, 40))],
      ['From', i.location && h('span', { class: 'mono' }, clean(i.location, 300))],
      ['Keys at', i.keys_url && i.keys_url !== i.location && h('span', { class: 'mono' }, clean(i.keys_url, 300))],
      ['Next fetch', i.next_refresh && when(i.next_refresh)],
      ['Usable until', i.usable_until && when(i.usable_until)],
    ], 'left'),
    i.last_error && fault(i.last_error_kind, i.last_error, i.last_error_at),
    (i.skipped || []).map((text) => h('p', { class: 'fault warn' }, h('strong', {}, 'Not used: '), h('span', {}, clean(text, 300)))));
  const summary = keys.length ? 'Key ids: ' + keys.slice(0, 3).map((k) => clean(k.kid || 'none', 24)).join(', ') + (keys.length > 3 ? ' and ' + (keys.length - 3) + ' more' : '') : 'No keys';
  fill(node.querySelector('summary'), summary);
  fill(node.querySelector('.keys'), keys.length > 0 && h('table', {}, h('caption', { class: 'unseen' }, 'Keys of ' + clean(i.issuer, 200)),
    h('thead', {}, h('tr', {}, ['Key id', 'Type', 'Algorithm', 'Size', 'Use', 'Seen', 'Thumbprint'].map((name) => h('th', { scope: 'col' }, name)))),
    h('tbody', {}, keys.map((k) => h('tr', {}, h('th', { scope: 'row', class: 'mono' }, clean(k.kid || 'none', 120)), h('td', {}, clean(k.kty, 20)), h('td', {}, clean(k.alg || 'any', 60)),
      h('td', {}, clean(k.crv || (k.bits ? k.bits + ' bits' : '-'), 20)), h('td', {}, clean(k.use || '-', 20)), h('td', {}, k.seen_at ? when(k.seen_at, coarse) : '-'), h('td', { class: 'mono' }, clean(k.thumbprint || '-', 80)))))));
}

const named = (prefix, kids) => (kids?.length ? prefix + kids.slice(0, 10).map((k) => clean(k, 80)).join(', ') : '');

// refresh fetches keys now: of one issuer, or of all for ''.
export async function refresh(issuer, button, again) {
  const said = $('refresh-said');
  button.disabled = true;
  say(said, 'idle', issuer ? 'Asking ' + issuer + ' …' : 'Asking all issuers …');
  try {
    const answer = await ask('POST', issuer ? 'refresh/' + encodeURIComponent(issuer) : 'refresh');
    const list = answer?.issuers || [];
    said.replaceChildren(h('ul', {}, list.map((i) => h('li', {}, state(i.ok ? 'ok' : 'bad', i.ok ? 'Fetched' : 'Failed'), ' ',
      clean(i.issuer, 300) + ': ' + (i.ok ? plural(i.keys, 'key') + (i.changed ? ', changed' + named(', new: ', i.added) + named(', gone: ', i.withdrawn) : ', unchanged') : clean(i.error, 600))))));
    if (list.length === 0) say(said, 'idle', 'There was nothing to fetch.');
  } catch (e) {
    say(said, 'bad', e.message);
  } finally {
    const lost = document.activeElement === document.body;
    button.disabled = false;
    if (lost) button.focus();
  }
  again();
}
