// The chart: what passed above, what was refused below, each at its own scale.
// It draws what the totals of two polls differ by, and before the page was
// opened the averages that the gateway reports.
import { $, clean, fill, h, svg } from './dom.js';
import { count } from './clock.js';
import { passes } from './words.js';

const step = 5; // seconds a bucket
const kept = 3600 / step;
const bars = 60;
const series = 5; // reasons with a pattern of their own; the others share one

const buckets = new Map(); // number of the step -> { seen, pass, refused: Map }
let totals = null; // of the last poll
let lastAt = 0;
let openedAt = 0;
let chosen = []; // reasons in the order of their patterns

// labelOf names a line: observed ones are told apart from real refusals.
export const labelOf = (d) => (d.result === 'observe' ? 'observed: ' : '') + (d.reason || d.result);

function bucket(n) {
  let b = buckets.get(n);
  if (!b) buckets.set(n, (b = { seen: 0, pass: 0, refused: new Map() }));
  return b;
}

function add(b, d, n) {
  if (passes(d.result) && d.result !== 'observe') b.pass += n;
  else if (n > 0) b.refused.set(labelOf(d), (b.refused.get(labelOf(d)) || 0) + n);
}

// record takes the decisions of a poll. at is in milliseconds, fresh tells that
// the gateway restarted and counts from zero.
export function record(decisions, at, fresh) {
  const now = Math.floor(at / 1000 / step);
  const next = new Map(decisions.map((d) => [JSON.stringify([d.result, d.reason, d.issuer]), d.total]));
  if (!totals) {
    openedAt = at;
    seed(decisions, now);
  } else {
    // What came in a short silence is spread over it. When a longer one saw it
    // is nobody's guess.
    const silence = at - lastAt;
    const known = silence < 120000;
    const from = known ? Math.floor(lastAt / 1000 / step) : now;
    for (let n = from; n <= now; n++) bucket(n).seen = 1;
    const first = silence > 15000 ? from + 1 : now;
    for (const d of decisions) {
      const before = fresh ? 0 : totals.get(JSON.stringify([d.result, d.reason, d.issuer])) || 0;
      const n = known ? Math.max(0, d.total - before) / (now - first + 1) : 0;
      for (let i = first; i <= now && n > 0; i++) add(bucket(i), d, n);
    }
  }
  for (const n of buckets.keys()) if (n < now - kept) buckets.delete(n);
  totals = next;
  lastAt = at;
}

// seed spreads what the gateway counted in the last minutes.
function seed(decisions, now) {
  for (const [from, to, of] of [
    [60, 0, (d) => d.last_1m], [300, 60, (d) => d.last_5m - d.last_1m], [900, 300, (d) => d.last_15m - d.last_5m],
  ]) {
    for (let n = now - from / step; n < now - to / step; n++) {
      bucket(n).seen = 1;
      for (const d of decisions) add(bucket(n), d, (Math.max(0, of(d)) * step) / (from - to));
    }
  }
}

// columns adds buckets up to what a bar shows, the newest last.
function columns(span, now) {
  const per = span / step / bars;
  const last = Math.floor(now / 1000 / step);
  const first = Math.floor(last / per) * per - per * (bars - 1);
  return Array.from({ length: bars }, (_, i) => {
    const sum = { seen: 0, pass: 0, refused: new Map(), at: (first + i * per) * step * 1000 };
    for (let n = first + i * per; n < first + (i + 1) * per; n++) {
      const b = buckets.get(n);
      if (!b) continue;
      sum.seen++;
      sum.pass += b.pass;
      for (const [label, v] of b.refused) sum.refused.set(label, (sum.refused.get(label) || 0) + v);
    }
    return sum;
  });
}

// choose gives patterns to the most frequent reasons. One that has a pattern
// keeps it while it is among them.
function choose(sum) {
  const top = [...sum].sort((a, b) => b[1] - a[1]).slice(0, series).map(([label]) => label);
  chosen = chosen.map((label) => (top.includes(label) ? label : null));
  for (const label of top) {
    if (chosen.includes(label)) continue;
    const free = chosen.indexOf(null);
    if (free >= 0) chosen[free] = label;
    else chosen.push(label);
  }
  return chosen;
}

const slot = (label) => (chosen.includes(label) ? chosen.indexOf(label) : series);

// ceiling is the next round number.
function ceiling(n) {
  const power = 10 ** Math.floor(Math.log10(Math.max(n, 1)));
  return [1, 2, 5, 10].map((m) => m * power).find((m) => m >= n) || n;
}

const number = (n) => (n >= 10 ? count(Math.round(n)) : count(Math.round(n * 10) / 10));

export function draw(now) {
  const figure = $('chart');
  const span = Number($('span').value);
  const width = Math.max(260, Math.round(figure.clientWidth));
  const height = 216;
  const left = 44;
  const cols = columns(span, now);
  const sum = new Map();
  let passed = 0;
  for (const c of cols) {
    passed += c.pass;
    for (const [label, v] of c.refused) sum.set(label, (sum.get(label) || 0) + v);
  }
  choose(sum);
  const refused = [...sum.values()].reduce((a, b) => a + b, 0);
  const tops = cols.map((c) => [...c.refused.values()].reduce((a, b) => a + b, 0));
  const worst = [...sum].sort((a, b) => b[1] - a[1]).slice(0, 3).map(([label, n]) => clean(label, 60) + ' ' + number(n)).join(', ');
  const minutes = span / 60;
  const text = `The last ${minutes} minutes: ${number(passed)} passed, ${number(refused)} refused or observed${worst ? ': ' + worst : ''}. The table below has the numbers.`;

  const root = svg('svg', { class: 'plot', viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': text }, patterns());
  const bar = (width - left) / bars;
  const perBar = span / bars;
  const panel = (y, tall, title, values, paint) => {
    const max = ceiling(Math.max(...values, 1));
    root.append(svg('text', { class: 'title', x: 0, y: y - 6 }, title),
      svg('line', { class: 'axis', x1: left, x2: width, y1: y, y2: y }),
      svg('line', { class: 'axis', x1: left, x2: width, y1: y + tall, y2: y + tall }),
      svg('text', { x: left - 6, y: y + 9, 'text-anchor': 'end' }, number(max)),
      svg('text', { x: left - 6, y: y + tall, 'text-anchor': 'end' }, '0'));
    cols.forEach((c, i) => {
      const x = left + i * bar;
      if (!c.seen) root.append(svg('rect', { class: 'gap', x, y, width: bar, height: tall }));
      else paint(c, x + 0.5, Math.max(1, bar - 1), (n) => (n / max) * tall, y + tall);
    });
  };
  panel(18, 56, `Passed, each ${perBar} s`, cols.map((c) => c.pass), (c, x, w, scale, base) => {
    const tall = scale(c.pass);
    root.append(svg('rect', { class: 'pass', x, y: base - tall, width: w, height: tall }));
  });
  panel(98, 96, `Refused or observed, each ${perBar} s`, tops, (c, x, w, scale, base) => {
    let y = base;
    for (const [label, n] of [...c.refused].sort((a, b) => slot(a[0]) - slot(b[0]))) {
      const tall = scale(n);
      y -= tall;
      root.append(svg('rect', { class: 's' + slot(label), x, y, width: w, height: tall }));
    }
  });
  const tick = { 300: 60, 900: 300, 3600: 900 }[span];
  for (let seconds = span; seconds > 0; seconds -= tick) {
    const x = left + (width - left) * (1 - seconds / span);
    root.append(svg('text', { x, y: height - 8, 'text-anchor': seconds === span ? 'start' : 'middle' }, `-${seconds / 60} min`));
  }
  root.append(svg('text', { x: width, y: height - 8, 'text-anchor': 'end' }, 'now'));
  const opened = left + ((openedAt - cols[0].at) / (span * 1000)) * (width - left);
  const estimated = openedAt > 0 && opened > left && opened < width;
  if (estimated) root.append(svg('line', { class: 'before', x1: opened, x2: opened, y1: 14, y2: 194 }));

  const focus = figure.querySelector('svg');
  if (focus) focus.replaceWith(root);
  else figure.prepend(root);
  legend(figure, sum, cols.some((c) => !c.seen));
  fill($('chart-note'), estimated ? 'Left of the dashed line, which is when this page was opened: averages.' : '');
}

function legend(figure, sum, gaps) {
  let list = figure.querySelector('.legend');
  if (!list) figure.insertBefore((list = h('ul', { class: 'legend' })), $('chart-note'));
  const swatch = (cls) => svg('svg', { viewBox: '0 0 14 14', 'aria-hidden': 'true' }, svg('rect', { class: cls, width: 14, height: 14, rx: 2 }));
  const lines = chosen.map((label, i) => label && sum.has(label) && h('li', {}, swatch('s' + i), clean(label, 60)));
  if ([...sum.keys()].some((label) => !chosen.includes(label))) lines.push(h('li', {}, swatch('s5'), 'others'));
  if (sum.size === 0) lines.push(h('li', { class: 'hint' }, 'Nothing was refused.'));
  if (gaps) lines.push(h('li', {}, swatch('gap'), 'not known'));
  fill(list, ...lines);
}

// patterns tell the reasons apart without their colours.
function patterns() {
  const pattern = (id, cls, ...marks) => svg('pattern', { id, width: 6, height: 6, patternUnits: 'userSpaceOnUse' }, svg('rect', { class: cls, width: 6, height: 6 }), ...marks);
  const mark = (d) => svg('path', { class: 'mark', d });
  return svg('defs', {},
    pattern('p-1', 'c1', mark('M-1 1 1-1M-1 7 7-1M5 7 7 5')),
    pattern('p-2', 'c2', mark('M0 3h6')),
    pattern('p-3', 'c3', svg('circle', { class: 'mark', cx: 3, cy: 3, r: 1.3 })),
    pattern('p-4', 'c4', mark('M-1 5 1 7M-1-1 7 7M5-1 7 1')),
    svg('pattern', { id: 'p-gap', width: 6, height: 6, patternUnits: 'userSpaceOnUse' }, svg('path', { class: 'gap-line', d: 'M0 6 6 0' })));
}

