// Times in words, by the clock of the gateway: that of the browser may be off.
import { h } from './dom.js';

let offset = 0;

export function setGatewayTime(text) {
  const t = Date.parse(text);
  if (!Number.isNaN(t)) offset = t - Date.now();
}

export const gatewayNow = () => Date.now() + offset;

const units = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];

// duration is a length in seconds, in one or two units.
export function duration(seconds) {
  let rest = Math.max(0, Math.round(seconds));
  const parts = [];
  for (const [size, name] of units) {
    const n = Math.floor(rest / size);
    if (n > 0 || (size === 1 && parts.length === 0)) parts.push(n + ' ' + name);
    rest -= n * size;
    if (parts.length === 2 || (parts.length === 1 && n >= 10)) break;
  }
  return parts.join(' ');
}

function parsed(text) {
  const t = text ? Date.parse(text) : NaN;
  return Number.isNaN(t) || new Date(t).getUTCFullYear() < 1971 ? null : t;
}

// relative is how long ago or ahead a time is.
export function relative(text) {
  const t = parsed(text);
  if (t === null) return '';
  const ahead = (t - gatewayNow()) / 1000;
  if (Math.abs(ahead) < 1) return 'now';
  return ahead > 0 ? 'in ' + duration(ahead) : duration(-ahead) + ' ago';
}

// coarse is relative with little that changes from one poll to the next.
export function coarse(text) {
  const t = parsed(text);
  if (t === null) return '';
  const off = Math.abs(t - gatewayNow()) / 1000;
  const rounded = off < 60 ? 'less than a minute' : duration(off < 3600 ? Math.floor(off / 60) * 60 : Math.floor(off / 600) * 600);
  return t > gatewayNow() ? 'in ' + rounded : rounded + ' ago';
}

// when is a time as an element: how far off, the time of day here, and UTC.
export function when(text, form = relative) {
  const t = parsed(text);
  if (t === null) return h('span', {}, '-');
  const d = new Date(t);
  return h('time', { class: 'when', datetime: d.toISOString(), title: d.toISOString() + ', here ' + d.toLocaleString() }, form(text));
}

// stamp is date and time of day here, to the second.
export function stamp(text) {
  const t = parsed(text);
  if (t === null) return '';
  const d = new Date(t);
  const two = (n) => String(n).padStart(2, '0');
  const day = d.getFullYear() + '-' + two(d.getMonth() + 1) + '-' + two(d.getDate());
  return day + ' ' + two(d.getHours()) + ':' + two(d.getMinutes()) + ':' + two(d.getSeconds());
}

export const count = (n) => Number(n || 0).toLocaleString('en');

export function bytes(n) {
  let size = Number(n || 0);
  for (const unit of ['B', 'KiB', 'MiB', 'GiB']) {
    if (size < 1024 || unit === 'GiB') return (unit === 'B' ? size : size.toFixed(size < 10 ? 1 : 0)) + ' ' + unit;
    size /= 1024;
  }
  return '';
}
