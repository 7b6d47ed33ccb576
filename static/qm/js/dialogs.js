// <dialog> traps the focus, closes on Escape and gives the focus back. Links, hashes and the backdrop are added here.
import { onClick, partOfAddress } from './page.js';

export function openDialog(dialog) {
  if (!dialog || dialog.open) return;
  dialog.querySelectorAll('[data-typed]').forEach(checkTyped);
  dialog.showModal();
  dialog.querySelector('[data-dialog-title]')?.focus();
  if (dialog.matches('[data-dialog-hash]')) history.replaceState(history.state, '', `#${dialog.id}`);
}

function openFromHash() {
  const id = partOfAddress();
  const dialog = id && document.getElementById(id);
  if (dialog && dialog.matches('dialog[data-dialog-hash]')) openDialog(dialog);
}

// The button works once the person has typed the name of what they are about to end.
function checkTyped(input) {
  const button = input.form?.querySelector('[data-typed-button]');
  if (button) button.disabled = input.value.trim() !== input.dataset.typed;
}

// A secret that is shown once goes by its own button only: neither by another, nor by a click beside it, nor by a key.
const holdsSecret = (dialog) => dialog.querySelector('[data-unsaved-secret]') !== null;

onClick('[data-secret-stored]', () => {
  for (const shown of document.querySelectorAll('[data-unsaved-secret]')) shown.removeAttribute('data-unsaved-secret');
});
// Browsers close a dialog at the second Escape in a row without asking, so the key itself ends here.
document.addEventListener(
  'keydown',
  (event) => {
    const dialog = event.key === 'Escape' && document.querySelector('dialog[open]');
    if (dialog && holdsSecret(dialog)) event.preventDefault();
  },
  true,
);
// Leaving the page asks first.
addEventListener('beforeunload', (event) => {
  if (document.querySelector('[data-unsaved-secret]')) event.preventDefault();
});

onClick('[data-dialog-open]', (opener, event) => {
  const dialog = document.getElementById(opener.dataset.dialogOpen);
  if (!dialog || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  openDialog(dialog);
});
onClick('[data-dialog-close]', (button) => {
  const dialog = button.closest('dialog');
  if (dialog && !holdsSecret(dialog)) dialog.close();
});
onClick('dialog', (dialog, event) => {
  // Outside of its content lies the backdrop.
  if (event.target === dialog && !holdsSecret(dialog)) dialog.close();
});
document.addEventListener(
  'cancel',
  (event) => {
    if (holdsSecret(event.target)) event.preventDefault();
  },
  true,
);

document.addEventListener('input', (event) => {
  if (event.target.matches('[data-typed]')) checkTyped(event.target);
});

document.addEventListener(
  'close',
  ({ target }) => {
    // Other ways than the key, such as the back gesture of a phone, must not lose it either.
    if (holdsSecret(target)) target.showModal();
    else if (target.matches('dialog[data-dialog-auto]')) target.remove();
    if (target.matches('[data-dialog-hash]') && location.hash === `#${target.id}`)
      history.replaceState(history.state, '', location.pathname + location.search);
  },
  true,
);

// A dialog that the server has just sent opens at once.
document.addEventListener('qm:content', () => openDialog(document.querySelector('dialog[data-dialog-auto]:not([open])')));

// After a failed send the focus goes to what must be mended.
export function focusSummary() {
  const summary = document.querySelector('[data-error-summary]');
  if (!summary) return;
  openDialog(summary.closest('dialog'));
  summary.focus();
}

addEventListener('hashchange', openFromHash);
openFromHash();
focusSummary();
