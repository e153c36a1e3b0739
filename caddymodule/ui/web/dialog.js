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
let then = null;

// confirm asks back. run gets the note, and its error is shown in the dialog;
// after is called when the dialog is gone and has given the focus back.
export function confirm({ title, text, yes, note, run, after }) {
  $('h-ask').textContent = title;
  $('ask-text').textContent = text;
  $('ask-yes').textContent = yes;
  $('ask-note-field').hidden = !note;
  act = run;
  then = after;
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
      then?.();
    } catch (e) {
      say($('ask-said'), 'bad', e.message);
    } finally {
      button.disabled = false;
    }
  });
}
