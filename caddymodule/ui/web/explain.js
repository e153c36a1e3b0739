// Explaining a token. Neither the token nor what came of it is kept anywhere:
// both go when the page is left, and some time after they were last used.
import { $, clean, facts, h, icon, say, state } from './dom.js';
import { ask } from './api.js';
import { bare } from './token.js';

const keptFor = 5 * 60 * 1000;
let timer = 0;
let asked = 0;

export function prepareExplain() {
  $('explain-form').addEventListener('submit', (event) => {
    event.preventDefault();
    explain();
  });
  $('x-clear').addEventListener('click', () => {
    clear();
    say($('explain-said'), 'idle', 'Cleared.');
    $('x-token').focus();
  });
  $('explain-form').addEventListener('input', keep);
  window.addEventListener('pagehide', clear);
  window.addEventListener('pageshow', (event) => {
    if (event.persisted) clear();
  });
}

function keep() {
  clearTimeout(timer);
  timer = setTimeout(clear, keptFor);
}

function clear() {
  asked++;
  clearTimeout(timer);
  $('x-token').value = '';
  $('x-headers').value = '';
  $('x-query').value = '';
  $('explain-result').replaceChildren();
  $('explain-result').hidden = true;
  say($('explain-said'));
}

// headers reads lines of "Name: value"; null after a mistake.
function headers(text) {
  const all = { __proto__: null };
  for (const line of text.split('\n')) {
    if (!line.trim()) continue;
    const colon = line.indexOf(':');
    if (colon < 1) return null;
    const name = line.slice(0, colon).trim();
    (all[name] ||= []).push(line.slice(colon + 1).trim());
  }
  return all;
}

function question() {
  const q = { method: $('x-method').value.trim().toUpperCase() || 'GET' };
  const token = bare($('x-token').value);
  if (token) q.token = token;
  let path = $('x-path').value.trim() || '/';
  let query = $('x-query').value.trim().replace(/^\?/, '');
  const mark = path.indexOf('?');
  if (mark >= 0) {
    query = [path.slice(mark + 1), query].filter(Boolean).join('&');
    path = path.slice(0, mark);
  }
  q.path = path.startsWith('/') ? path : '/' + path;
  for (const [name, value] of [['scheme', $('x-scheme').value], ['host', $('x-host').value.trim()], ['query', query], ['remote_ip', $('x-ip').value.trim()]]) if (value) q[name] = value;
  const all = headers($('x-headers').value);
  if (all === null) return null;
  if (Object.keys(all).length > 0) q.headers = all;
  if ($('x-claims').checked) q.show_claims = true;
  return q;
}

async function explain() {
  const mine = ++asked;
  keep();
  const q = question();
  if (!q) {
    say($('explain-said'), 'bad', 'Headers are lines of a name, a colon and a value.');
    $('x-headers').focus();
    return;
  }
  say($('explain-said'), 'idle', 'Asking the gates …');
  let answer;
  try {
    answer = await ask('POST', 'explain', q);
  } catch (e) {
    if (mine !== asked) return;
    $('explain-result').hidden = true;
    say($('explain-said'), 'bad', e.message);
    return;
  }
  if (mine !== asked) return;
  const result = $('explain-result');
  result.replaceChildren(...show(answer).filter(Boolean));
  result.hidden = false;
  say($('explain-said'));
  result.focus({ preventScroll: true });
  result.scrollIntoView({ block: 'nearest' });
}

const marks = { __proto__: null, pass: ['ok', 'pass'], fail: ['bad', 'fail'], skip: ['idle', 'skipped'] };

// verdicts are those of the whole, and of a gate.
const verdicts = {
  __proto__: null,
  allowed: ['ok', 'Allowed'],
  anonymous: ['ok', 'Passes without a token'],
  public: ['ok', 'Passes: a public route'],
  preflight: ['ok', 'Passes: a preflight'],
  observed: ['warn', 'Passes, and would be refused without observe'],
  refused: ['bad', 'Refused'],
  undecided: ['warn', 'Undecided'],
  no_gate: ['warn', 'No gate on the way'],
  not_reached: ['idle', 'Not reached'],
};

function show(a) {
  const [kind, word] = verdicts[a.verdict] || (a.allowed ? verdicts.allowed : verdicts.refused);
  const why = a.answer ? `${a.answer.status} ${a.answer.code || ''}` : '';
  const end = a.end ? [a.end.handler, ...(a.end.upstreams || [])].join(' ') : 'nobody, which Caddy answers with an empty 200';
  return [
    h('div', { class: 'verdict ' + kind }, icon(kind), h('span', {}, word), why && h('code', {}, clean(why, 80)), h('small', {}, clean(a.summary || '', 400))),
    facts([
      ['Request', a.request ? h('span', { class: 'mono' }, clean(`${a.request.method} ${a.request.scheme}://${a.request.host}${a.request.path}`, 300)) : null],
      ['Route', clean(a.route || 'none', 200)],
      ['Then', a.end === undefined ? null : h('span', { class: 'mono' }, clean(end, 300))],
      ['Token', a.token ? clean([a.token.alg, a.token.kid && 'kid ' + a.token.kid, a.token.typ && 'typ ' + a.token.typ].filter(Boolean).join(', '), 200) + (a.token.verified ? ', its signature holds' : ', not verified') : null],
    ], 'left'),
    (a.warnings || []).length > 0 && h('ul', {}, a.warnings.map((text) => h('li', {}, state('warn', 'Note'), ' ', clean(text, 600)))),
    ...(a.gates || []).map((g, i, all) => gate(g, i, all.length)),
    h('div', { class: 'pair' }, a.claims && Object.keys(a.claims).length > 0 && claims(a.claims, a.token ? a.token.verified : true), (a.headers || []).length > 0 && forwarded(a.headers), a.answer && answer(a.answer)),
  ];
}

function gate(g, i, all) {
  const mark = verdicts[g.result];
  const about = [g.issuer, g.note || (g.mode && g.mode !== 'enforce' ? 'mode ' + g.mode : '')].filter(Boolean).join('; ');
  return h('div', { class: 'gate' },
    h('h3', {}, (all > 1 ? `Gate ${i + 1} of ${all}: ` : 'Gate: ') + clean(g.gate || '-', 160)),
    h('p', { class: 'hint' }, mark && [state(...mark), ' '], g.reason && [h('code', {}, clean(g.reason, 60)), ' '], clean(about, 400)),
    h('ol', { class: 'steps' }, (g.steps || []).map(step)));
}

function step(s) {
  const lines = [['expected', s.expected], ['found', s.found], ['note', s.note], ['to do', s.hint]].filter(([, v]) => v);
  return h('li', { class: s.result === 'fail' ? 'failed' : '' },
    state(...(marks[s.result] || ['idle', clean(s.result, 20)])),
    h('span', { class: 'name' }, clean(String(s.step ?? '').replaceAll('_', ' '), 60)),
    h('dl', { class: 'detail' }, lines.map(([name, value]) => [h('dt', {}, name), h('dd', {}, clean(value, 1000))])));
}

function table(caption, names, rows) {
  return h('div', {}, h('table', {}, h('caption', {}, caption), h('thead', {}, h('tr', {}, names.map((n) => h('th', { scope: 'col' }, n)))), h('tbody', {}, rows)));
}

function claims(all, verified) {
  const shown = $('x-claims').checked;
  const text = (v) => (typeof v === 'string' ? v : JSON.stringify(v));
  return table('Claims' + (verified ? '' : ', not verified: anybody may have written them') + (shown ? '' : '; their types'), ['Claim', shown ? 'Value' : 'Type'],
    Object.entries(all).map(([name, value]) => h('tr', {}, h('th', { scope: 'row', class: 'mono' }, clean(name, 120)), h('td', { class: shown ? 'mono' : '' }, clean(text(value), 1000)))));
}

function forwarded(all) {
  return table('Headers that the backend gets', ['Header', 'From', 'Value'], all.map((x) => h('tr', {},
    h('th', { scope: 'row', class: 'mono' }, clean(x.name, 80)), h('td', { class: 'mono' }, clean([x.claim, x.form].filter(Boolean).join(', '), 120)),
    h('td', { class: x.absent ? '' : 'mono' }, x.absent ? state('idle', 'absent: ' + clean(x.absent, 200)) : x.value === undefined ? h('span', { class: 'hint' }, 'present') : clean(x.value, 1000)))));
}

function answer(a) {
  let body = a.body || '';
  try {
    body = JSON.stringify(JSON.parse(body), null, 2);
  } catch { /* not JSON: as it is */ }
  const lines = Object.entries(a.headers || {}).flatMap(([name, values]) => [values].flat().map((v) => clean(name, 80) + ': ' + clean(v, 600)));
  return h('div', {}, h('h3', {}, 'What the client sees'),
    h('p', {}, 'Status ', h('strong', {}, clean(a.status, 10)), a.code && [', code ', h('code', {}, clean(a.code, 60))], a.action && [', it is to ', h('strong', {}, clean(a.action, 60))]),
    h('pre', { tabindex: 0, role: 'region', 'aria-label': 'Answer to the client' }, lines.join('\n') + (body ? '\n\n' + body.split('\n').map((l) => clean(l, 2000)).join('\n') : '')));
}

