// What /jwtgate/status says: the banner, the numbers, the table of reasons, and
// the list, feed and cache beside it.
import { $, clean, facts, fill, h, icon, keyed, state } from './dom.js';
import { bytes, coarse, count, duration, gatewayNow, when } from './clock.js';
import { faults, kinds, meanings, passes, reasons, results } from './words.js';

// banner shows what is wrong; problems are texts, or as the gateway tells them.
// Nothing in it changes by itself: it is read out.
export function banner(kind, headline, problems) {
  const node = $('banner');
  node.dataset.state = kind;
  fill(node, h('p', { class: 'headline' }, icon(kind), h('span', {}, headline)),
    problems.length > 0 && h('ul', {}, problems.map((p) => h('li', {}, typeof p === 'string' ? clean(p, 600) : problem(p)))));
}

function problem(p) {
  return [state(p.level === 'error' ? 'bad' : 'warn', p.level === 'error' ? 'Error' : 'Warning'), ' ',
    p.issuer && h('strong', {}, clean(p.issuer, 200) + ': '), clean(p.text, 400),
    p.cause && h('span', { class: 'line' }, 'Seen: ', h('span', { class: 'mono' }, clean(p.cause, 600))),
    p.do && h('span', { class: 'line' }, clean(p.do, 600))];
}

export const plural = (n, one, many = one + 's') => count(n) + ' ' + (n === 1 ? one : many);

// states are those of the gateway: which shape, and how it is put.
const states = {
  __proto__: null,
  ok: ['ok', 'Ready'],
  warning: ['warn', 'Ready, with a warning'],
  degraded: ['bad', 'Degraded'],
  not_ready: ['bad', 'Not ready'],
};

// judgement is the banner of a status.
export function judgement(s) {
  const [kind, word] = states[s.state] || (s.ready ? states.ok : states.not_ready);
  const known = s.problems || [];
  return { kind, headline: word + (s.summary ? ': ' + clean(s.summary, 200) : ''), problems: known.length > 0 ? known : s.ready ? [] : s.reasons || [] };
}

const sum = (list, of) => list.reduce((n, d) => n + (of(d) || 0), 0);

export function tiles(s) {
  const all = s.decisions || [];
  const passed = all.filter((d) => passes(d.result) && d.result !== 'observe');
  const refused = all.filter((d) => !passes(d.result));
  const observed = all.filter((d) => d.result === 'observe');
  const worst = [...refused].sort((a, b) => b.last_5m - a.last_5m)[0];
  const issuers = s.issuers || [];
  const usable = issuers.filter((i) => i.usable).length;
  const oldest = Math.max(0, ...issuers.map((i) => i.age_seconds || 0));
  const kindsOf = s.revocations?.by_kind || {};
  const inForce = sum(Object.values(kindsOf), (n) => n);
  const cache = s.cache;
  const lookups = cache ? cache.hits + cache.misses : 0;
  const open = (s.streams?.upgraded || 0) + (s.streams?.events || 0);
  const tile = (name, big, sub) => h('div', {}, h('dt', {}, name), h('dd', { class: 'big' }, big), h('dd', { class: 'sub' }, sub));
  fill($('tiles'),
    tile('Passed, 5 minutes', count(sum(passed, (d) => d.last_5m)), count(sum(passed, (d) => d.last_1m)) + ' in the last minute'),
    tile('Refused, 5 minutes', count(sum(refused, (d) => d.last_5m)), worst?.last_5m ? 'most: ' + clean(worst.reason, 40) : 'none'),
    observed.length > 0 && tile('Observed, 5 minutes', count(sum(observed, (d) => d.last_5m)), 'would be refused'),
    tile('Issuers with keys', usable + ' of ' + issuers.length, issuers.length ? 'oldest set ' + duration(oldest) : ''),
    tile('Revocations', count(inForce), Object.entries(kindsOf).filter(([, n]) => n).map(([k, n]) => count(n) + ' ' + k).join(', ') || 'none in force'),
    tile('Cache hits', lookups ? ((100 * cache.hits) / lookups).toFixed(1) + ' %' : '-', cache ? 'of ' + count(lookups) + ' look-ups' : 'the cache is off'),
    tile('Running for', s.started_at ? duration((gatewayNow() - Date.parse(s.started_at)) / 1000) : '-', open > 0 ? plural(open, 'open stream') : 'no open streams'));
}

export function reasonTable(s) {
  const every = $('all-reasons').checked;
  const all = (s.decisions || []).filter((d) => d.total > 0);
  const shown = all.filter((d) => every || d.last_15m > 0)
    .sort((a, b) => rank(a) - rank(b) || b.last_5m - a.last_5m || b.last_15m - a.last_15m || b.total - a.total);
  const empty = all.length === 0 ? 'No decision yet.' : 'Nothing in the last 15 minutes.';
  const rows = shown.length > 0 ? shown : [null];
  keyed($('reasons'), rows, (d) => (d ? JSON.stringify([d.result, d.reason, d.issuer]) : ''), () => h('tr'), (row, d) => {
    if (!d) {
      fillRow(row, [h('td', { colspan: 6, class: 'hint' }, empty)]);
      return;
    }
    const [kind, word] = results[d.result] || ['idle', clean(d.result, 40)];
    fillRow(row, [
      h('th', { scope: 'row' }, state(kind, word), ' ', d.reason && h('code', {}, clean(d.reason, 60)),
        h('span', { class: 'why' }, (d.reason ? reasons[d.reason] : meanings[d.result]) || clean(d.code, 60))),
      h('td', {}, clean(d.issuer || '-', 120)),
      ...[d.last_1m, d.last_5m, d.last_15m, d.total].map((n) => h('td', { class: 'num' }, count(n))),
    ]);
  });
}

// rank puts refusals first, then what was observed.
const rank = (d) => (d.result === 'observe' ? 1 : passes(d.result) ? 2 : 0);

// fillRow is fill for a row: a cell has no meaning in a div.
function fillRow(row, cells) {
  if (row.cells.length !== cells.length) return row.replaceChildren(...cells);
  cells.forEach((cell, i) => {
    if (!row.cells[i].isEqualNode(cell)) row.cells[i].replaceWith(cell);
  });
}

export function side(s) {
  const list = s.revocations || {};
  const loading = list.loaded === false;
  fill($('list-facts'), facts([
    ['State', list.error ? state('bad', 'cannot be read') : loading ? state('bad', list.total ? `loading, ${count(list.done)} of ${count(list.total)}` : 'loading') : state('ok', 'loaded')],
    ...Object.keys(kinds).map((k) => [k, count(list.by_kind?.[k])]),
    ['Undone', list.undone ? count(list.undone) : null],
    ['Journal', list.journal ? bytes(list.journal.bytes) : state('warn', 'off: in memory only')],
    ['Not on disk yet', list.journal?.not_durable ? state('bad', count(list.journal.not_durable)) : null],
  ]), list.error && fault('', list.error), list.journal?.error && fault('', list.journal.error), list.journal?.path && h('p', { class: 'hint mono' }, clean(list.journal.path)));

  const feed = s.feed;
  const word = { __proto__: null, fresh: ['ok', 'fresh'], starting: ['warn', 'starting'], stale: ['bad', 'stale'] };
  fill($('feed-facts'), feed ? [facts([
    ['State', state(...(word[feed.state] || ['warn', clean(feed.state, 40)]))],
    ['Redis', clean(feed.redis, 120)],
    ['Lag', feed.lag_seconds !== undefined && feed.lag_seconds !== null ? (feed.lag_seconds < 1 ? Math.round(feed.lag_seconds * 1000) + ' ms' : duration(feed.lag_seconds)) : null],
    ['Last answer', feed.last_answer ? when(feed.last_answer) : null],
    ['While stale', feed.on_stale === 'allow' ? 'allows' : feed.on_stale === 'deny' ? 'refuses with 503' : null],
    ['Waiting to be told', feed.outbox > 0 ? state('warn', count(feed.outbox)) : '0'],
    ['In the stream', feed.stream === undefined || feed.stream === null ? null : count(feed.stream)],
    ['Losses put back', feed.losses > 0 ? state('warn', count(feed.losses)) : null],
    ['Malformed', feed.malformed > 0 ? state('warn', count(feed.malformed)) : null],
  ]), feed.last_error && fault('', feed.last_error)] : h('p', { class: 'hint' }, 'This gateway is alone: no redis is configured.'));

  const cache = s.cache;
  fill($('cache-facts'), cache ? facts([
    ['Entries', count(cache.entries)],
    ['Size', bytes(cache.bytes) + ' of ' + bytes(cache.max_bytes)],
    ['Hits', count(cache.hits)],
    ['Misses', count(cache.misses)],
  ]) : h('p', { class: 'hint' }, 'Off: each signature is checked each time.'));
}

export function fault(kind, text, at) {
  return h('p', { class: 'fault bad' }, icon('bad'), ' ', h('strong', {}, (faults[kind] || 'Failed') + (at ? ', ' : '')),
    at && when(at, coarse), ': ', h('span', {}, clean(text, 600)));
}
