// Dialogs: the browser keeps the focus inside, and gives it back at the end.
import { $, say } from './dom.js';

// prepare makes Cancel and Escape close a dialog, which empties its fields.
export function prepare(dialog) {
  for (const button of dialog.querySelectorAll('[data-close]')) button.addEventListener('click', () => dialog.close());
  dialog.addEventListener('close', () => {
    dialog.querySelector('form').reset();
    for (const said of dialog.querySelectorAll('.said')) said.replaceChildren();
    for (const field of dialog.querySelectorAll('[aria-invalid]')) field.removeAttribute('aria-invalid');
  });
}

let act = null;

// confirm asks back; act gets the note and its error is shown in the dialog.
export function confirm({ title, text, yes, note, run }) {
  $('h-ask').textContent = title;
  $('ask-text').textContent = text;
  $('ask-yes').textContent = yes;
  $('ask-note-field').hidden = !note;
  act = run;
  $('ask-dialog').showModal();
  if (!note) $('ask-yes').focus();
}

export function prepareConfirm() {
  const dialog = $('ask-dialog');
  prepare(dialog);
  $('ask-form').addEventListener('submit', async (event) => {
    event.preventDefault();
    const button = $('ask-yes');
    if (button.disabled) return;
    button.disabled = true;
    try {
      await act($('ask-note').value.trim());
      dialog.close();
    } catch (e) {
      say($('ask-said'), 'bad', e.message);
    } finally {
      button.disabled = false;
    }
  });
}
