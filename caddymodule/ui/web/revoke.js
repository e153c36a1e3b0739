// Revoking.
import { $, say } from './dom.js';
import { ask } from './api.js';
import { prepare } from './dialog.js';
import { gatewayNow, stamp } from './clock.js';
import { kinds } from './words.js';
import { bare } from './token.js';
import { search } from './revocations.js';

const dialog = $('revoke-dialog');

export function prepareRevoke(again) {
  prepare(dialog);
  dialog.addEventListener('close', adjust);
  // A token may be in it.
  window.addEventListener('pagehide', () => dialog.close());
  $('v-kind').addEventListener('change', adjust);
  $('v-by').addEventListener('change', adjust);
  $('r-add').addEventListener('click', () => {
    $('v-kind').value = $('r-kind').value || 'subject';
    $('v-issuer').value = $('r-issuer').value || only();
    $('v-value').value = $('r-value').value;
    adjust();
    dialog.showModal();
  });
  $('revoke-form').addEventListener('submit', (event) => {
    event.preventDefault();
    send(event.submitter || $('revoke-form').querySelector('.primary'), again);
  });
}

// only is the issuer where there is but one.
function only() {
  const names = $('issuer-names').querySelectorAll('option');
  return names.length === 1 ? names[0].value : '';
}

function adjust() {
  const kind = $('v-kind').value;
  const [name, means] = kinds[kind];
  const all = kind === 'issuer';
  const byToken = !all && $('v-by').value === 'token';
  $('v-means').textContent = means;
  $('v-value-label').textContent = name;
  $('v-by-field').hidden = all;
  $('v-issuer-field').hidden = byToken;
  $('v-value-field').hidden = all || byToken;
  $('v-token-field').hidden = !byToken;
  $('v-before-field').hidden = kind === 'token' || kind === 'session';
  $('v-confirm-field').hidden = !all;
  if (!byToken) $('v-token').value = '';
}

// mistaken shows what is wrong with a field and goes there.
function mistaken(id, text) {
  say($('v-said'), 'bad', text);
  $(id).setAttribute('aria-invalid', 'true');
  $(id).focus();
}

// cutoff reads the time; null is a mistake, undefined is now.
function cutoff(text) {
  if (!text || text === 'now') return undefined;
  const back = /^(\d{1,6})\s*(s|m|min|h|d)( ago)?$/.exec(text);
  if (back) {
    const seconds = Number(back[1]) * { s: 1, m: 60, min: 60, h: 3600, d: 86400 }[back[2]];
    return new Date(gatewayNow() - seconds * 1000).toISOString();
  }
  if (!/^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/.test(text) || Number.isNaN(Date.parse(text))) return null;
  return text.toUpperCase();
}

async function send(button, again) {
  if (button.disabled) return;
  for (const field of dialog.querySelectorAll('[aria-invalid]')) field.removeAttribute('aria-invalid');
  const kind = $('v-kind').value;
  const byToken = kind !== 'issuer' && $('v-by').value === 'token';
  const issuer = $('v-issuer').value.trim();
  const value = $('v-value').value.trim();
  const note = $('v-note').value.trim();
  const order = { kind };
  if (byToken) {
    order.token = bare($('v-token').value);
    if (!order.token) return mistaken('v-token', 'Paste the token.');
  } else {
    if (!issuer) return mistaken('v-issuer', 'The issuer is missing: iss, as it is configured.');
    order.issuer = issuer;
    if (kind !== 'issuer') {
      if (!value) return mistaken('v-value', kinds[kind][0] + ' is missing.');
      if (looksLikeToken(value)) return mistaken('v-value', 'That is a whole token; choose “a token of it, pasted”.');
      order.value = value;
    }
  }
  if (looksLikeToken(note)) return mistaken('v-note', 'The note is kept and logged: no token belongs in it.');
  if (note) order.note = note;
  if (!$('v-before-field').hidden) {
    const before = cutoff($('v-before').value.trim());
    if (before === null) return mistaken('v-before', 'A time is wanted, such as 2026-01-31T12:00:00Z, or how long ago, such as 2h; empty for now.');
    if (before) order.before = before;
  }
  if (kind === 'issuer' && $('v-confirm').value.trim() !== issuer) return mistaken('v-confirm', 'Type ' + issuer + ' to go on; nothing was revoked.');

  button.disabled = true;
  say($('v-said'), 'idle', 'Revoking …');
  try {
    done(await ask('POST', 'revocations', order));
  } catch (e) {
    say($('v-said'), 'bad', e.message);
    return;
  } finally {
    button.disabled = false;
  }
  again();
}

const looksLikeToken = (text) => /^[\w-]{8,}\.[\w-]{4,}\.[\w-]*$/.test(text);

// done shows what was revoked among the others, by searching for it.
async function done(answer) {
  dialog.close();
  $('r-kind').value = answer.kind;
  $('r-issuer').value = answer.issuer;
  $('r-value').value = answer.value || '';
  await search();
  let text = 'Revoked ' + answer.kind + (answer.value ? ' ' + answer.value : '') + ' of ' + answer.issuer + ', kept until ' + stamp(answer.until) + '.';
  if (answer.durable === false) text += ' In memory only: a restart forgets it.';
  if (answer.fed === false) text += ' Other gateways have not heard of it yet; this one will tell them.';
  say($('r-said'), answer.durable === false || answer.fed === false ? 'warn' : 'ok', text);
}
