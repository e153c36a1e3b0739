// What observing gates would have refused.
import { $, clean, fill, h, say } from './dom.js';
import { ask } from './api.js';
import { confirm } from './dialog.js';
import { count, stamp, when } from './clock.js';
import { reasons } from './words.js';
import { plural } from './status.js';

export function prepareObserve() {
  $('o-reset').addEventListener('click', () => confirm({
    title: 'Begin the report again?',
    text: 'All counts of the observe report go back to zero, for everybody who looks at it.',
    yes: 'Begin again',
    note: false,
    run: async () => {
      await ask('DELETE', 'observe-report');
      await poll();
      say($('o-said'), 'ok', 'The counts begin again.');
    },
  }));
}

export async function poll() {
  let report;
  try {
    report = await ask('GET', 'observe-report', undefined, 10);
  } catch (e) {
    if (e.code !== 'page_gone' && e.code !== 'unreachable') fill($('o-gates'), h('p', { class: 'hint' }, clean(e.message, 400)));
    return;
  }
  const gates = report?.gates || [];
  if (gates.length === 0) return fill($('o-gates'), h('p', { class: 'hint' }, 'No gate observes.'));
  fill($('o-gates'), gates.map((g) => gate(g, g.since || report.since)));
}

// share is a part in percent; nothing of nothing says nothing.
const share = (part, all) => (all > 0 ? ` (${((100 * part) / all).toFixed(1)} %)` : ', as no request came yet');

function gate(g, since) {
  const rows = [...(g.would_refuse || [])].sort((a, b) => b.count - a.count);
  const refused = rows.reduce((n, r) => n + r.count, 0) + (g.unlisted || 0);
  const cell = (label, ...children) => h('td', { 'data-label': label, role: 'cell' }, ...children);
  return h('div', { class: 'gate' },
    h('h3', {}, clean(g.route, 200)),
    h('p', {}, count(g.would_pass), ' would pass, ', h('strong', {}, count(refused) + ' would be refused'), share(refused, refused + (g.would_pass || 0)), since && [', since ', when(since, stamp)], g.unlisted > 0 && ', ' + plural(g.unlisted, 'of them', 'of them') + ' beyond what is listed'),
    rows.length > 0 && h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Would be refused on ' + clean(g.route, 200) },
      h('table', { class: 'stack', role: 'table' },
        h('caption', { class: 'unseen' }, 'Would be refused on ' + clean(g.route, 200)),
        h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, ['Reason', 'Issuer', 'Client'].map((n) => h('th', { scope: 'col', role: 'columnheader' }, n)),
          h('th', { scope: 'col', role: 'columnheader', class: 'num' }, 'Count'), ['First', 'Last'].map((n) => h('th', { scope: 'col', role: 'columnheader' }, n)))),
        h('tbody', { role: 'rowgroup' }, rows.map((r) => h('tr', { role: 'row' },
          h('th', { scope: 'row', role: 'rowheader' }, h('code', {}, clean(r.reason, 60)), h('span', { class: 'why' }, reasons[r.reason] || clean(r.code, 60))),
          cell('Issuer', clean(r.issuer || '-', 160)), cell('Client', clean(r.client || '-', 120)),
          h('td', { class: 'num', 'data-label': 'Count', role: 'cell' }, count(r.count)), cell('First', when(r.first_at, stamp)), cell('Last', when(r.last_at, stamp))))))));
}
