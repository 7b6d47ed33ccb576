// What was typed into a form marked data-draft is still there after a reload of the tab, until it is sent.
import { forget, read, write } from './storage.js';

const keyOf = (form) => `qm-draft:${form.dataset.draft}`;

function note(form) {
  const place = form.querySelector('[data-draft-note]');
  if (!place) return;
  place.textContent = place.dataset.draftNote;
  place.hidden = false;
}

function save(form) {
  const typed = [...new FormData(form)].filter(([name, value]) => name !== 'csrfmiddlewaretoken' && typeof value === 'string');
  write('sessionStorage', keyOf(form), JSON.stringify(Object.fromEntries(typed)));
  note(form);
}

function restore(form) {
  const draft = read('sessionStorage', keyOf(form));
  // The server has just said what is wrong with what it was sent.
  if (!draft || form.querySelector('[aria-invalid=true]')) return;
  const values = JSON.parse(draft);
  for (const input of form.elements) {
    if (!(input.name in values) || input.disabled) continue;
    if (input.type === 'radio' || input.type === 'checkbox') input.checked = input.value === values[input.name];
    else if (input.type !== 'hidden') input.value = values[input.name];
  }
  note(form);
  form.dispatchEvent(new Event('input', { bubbles: true }));
}

document.addEventListener('input', (event) => {
  const form = event.target.closest('form[data-draft]');
  if (form && event.isTrusted) save(form);
});
document.addEventListener('submit', ({ target }) => {
  if (target.dataset.draft) forget('sessionStorage', keyOf(target));
});
document.querySelectorAll('form[data-draft]').forEach(restore);
