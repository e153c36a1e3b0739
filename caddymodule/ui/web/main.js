// The page: asks the gateway again and again, and says when there is no answer.
import { $, clean, fill, say, state } from './dom.js';
import { ask, Problem } from './api.js';
import * as chart from './chart.js';
import { duration, setGatewayTime } from './clock.js';
import { banner, judgement, reasonTable, side, tiles } from './status.js';
import { issuers, refresh } from './issuers.js';
import { prepareConfirm } from './dialog.js';
import { prepareExplain } from './explain.js';
import { poll as pollObserve, prepareObserve } from './observe.js';
import { prepareSearch, search } from './revocations.js';
import { prepareRevoke } from './revoke.js';

const longest = 15000; // between two tries without an answer, in ms
const observeEvery = 5000;
const hiddenEvery = 15000; // nobody looks, but the chart goes on

let last = null; // status
let lastAt = 0; // of this browser
let failures = 0;
let nextAt = 0;
let timer = 0;
let asking = false;
let observedAt = 0;

function schedule(ms) {
  clearTimeout(timer);
  nextAt = Date.now() + ms;
  timer = setTimeout(tick, ms);
}

function wait() {
  if (failures > 0) return Math.min(longest, 1000 * 2 ** (failures - 1));
  const every = Number($('every').value);
  return document.hidden && every > 0 ? Math.max(every, hiddenEvery) : every;
}

async function tick() {
  if (asking) return;
  asking = true;
  try {
    const s = await ask('GET', 'status', undefined, 10);
    const back = failures > 0;
    failures = 0;
    answered(s);
    if (back) search();
    if (Date.now() - observedAt >= observeEvery || back) {
      observedAt = Date.now();
      pollObserve();
    }
  } catch (e) {
    failures++;
    unanswered(e);
  } finally {
    asking = false;
  }
  if (wait() > 0) schedule(wait());
  live();
}

function answered(s) {
  setGatewayTime(s.time);
  const fresh = last !== null && last.started_at !== s.started_at;
  chart.record(s.decisions || [], Date.now(), fresh);
  last = s;
  lastAt = Date.now();
  document.body.classList.remove('away');
  const { kind, headline, problems } = judgement(s);
  banner(kind, headline, problems);
  render();
}

function render() {
  if (!last) return;
  tiles(last);
  chart.draw(Date.now());
  reasonTable(last);
  side(last);
  issuers(last, again);
}

// unanswered leaves what was seen last, and says that it is old.
function unanswered(e) {
  const known = {
    __proto__: null,
    page_gone: ['The command behind this page does not answer', 'If `caddy jwtgate ui` has ended, start it again: it prints another URL.'],
    unreachable: ['The gateway does not answer', e.message.split('\n')[0]],
    timeout: ['The gateway does not answer', e.message],
    no_jwtgate: ['There is no jwtgate', e.message],
    not_configured: ['The running configuration has no jwtgate', e.message],
  };
  const other = e instanceof Problem ? 'The gateway answers with an error' : 'The page could not show the answer';
  const [headline, line] = known[e.code] || [other, e.message];
  document.body.classList.add('away');
  banner('bad', headline, [line, last ? 'What follows is what it said last.' : '', 'The page keeps asking.'].filter(Boolean));
  if (last) chart.draw(Date.now());
}

// live tells how old this is; it changes each second and is not read out.
function live() {
  const every = Number($('every').value);
  const ago = lastAt ? duration((Date.now() - lastAt) / 1000) + ' old' : '';
  const next = Math.max(0, Math.ceil((nextAt - Date.now()) / 1000));
  if (failures > 0) fill($('live'), state('bad', 'no answer'), (ago ? ', ' + ago : '') + (asking ? '' : `, next try in ${next} s`));
  else if (!lastAt) fill($('live'), state('idle', 'asking'));
  else if (every === 0) fill($('live'), state('idle', 'stopped'), ', ' + ago);
  else fill($('live'), state('ok', 'live'));
}

// again asks at once, after something was changed.
function again() {
  schedule(0);
}

async function begin() {
  prepareConfirm();
  prepareExplain();
  prepareObserve();
  prepareSearch();
  prepareRevoke(again);
  $('every').addEventListener('change', again);
  $('span').addEventListener('change', render);
  $('all-reasons').addEventListener('change', render);
  $('refresh-all').addEventListener('click', () => refresh('', $('refresh-all'), again));
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden && Number($('every').value) > 0) again();
  });
  new ResizeObserver(() => last && chart.draw(Date.now())).observe($('chart'));
  $('zone').textContent = new Intl.DateTimeFormat().resolvedOptions().timeZone || 'the time zone of this browser';
  setInterval(live, 1000);
  tick();
  search();
  try {
    const session = await ask('GET', 'session', undefined, 10);
    document.body.classList.toggle('read-only', session.read_only);
    $('where').textContent = clean(session.admin, 120) + (session.read_only ? ', read only' : '');
    document.title = 'jwtgate at ' + clean(session.admin, 60);
  } catch (e) {
    say($('where'), 'bad', e.message);
  }
}

begin();
