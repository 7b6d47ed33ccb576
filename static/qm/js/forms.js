// Forms: what was typed is kept, what was wrong goes once it is corrected, and a button that was pressed is at work.
import { forget, read, write } from './page.js';

// What was typed into a form marked data-draft is still there after a reload of the tab, until it is sent.
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

// What the server said about a field goes once the person corrects it, and with it its line in the summary.
function errorOf(field) {
  for (const described of [field, field.closest('fieldset')]) {
    const ids = described?.getAttribute('aria-describedby')?.split(' ') ?? [];
    for (const id of ids) {
      const error = document.getElementById(id);
      if (error?.matches('.qm-error')) return { described, error, other: ids.filter((one) => one !== id) };
    }
  }
  return null;
}

function withdraw({ described, error, other }) {
  if (other.length) described.setAttribute('aria-describedby', other.join(' '));
  else described.removeAttribute('aria-describedby');
  const name = error.id.replace(/_error$/, '');
  for (const link of document.querySelectorAll(`[data-error-summary] a[href="#${CSS.escape(name)}"]`)) {
    const summary = link.closest('[data-error-summary]');
    link.closest('li').remove();
    if (!summary.querySelector('li')) summary.remove();
  }
  error.remove();
}

document.addEventListener('input', ({ target }) => {
  // While the browser sees that it is still wrong, the message stays.
  if (!target.validity?.valid) return;
  const found = errorOf(target);
  if (!found) return;
  withdraw(found);
  const fields = found.described === target ? [target] : found.described.querySelectorAll('[aria-invalid]');
  for (const field of fields) field.removeAttribute('aria-invalid');
});

// The button that sent a form says that it is at work; a choice that needs no button sends its form itself.
document.addEventListener('submit', ({ submitter }) => submitter?.setAttribute('aria-busy', 'true'));
// Going back shows the page as it was left.
addEventListener('pageshow', () => {
  for (const button of document.querySelectorAll('.btn[aria-busy=true]')) button.removeAttribute('aria-busy');
});
document.addEventListener('change', ({ target }) => {
  if (target.matches('[data-auto-submit]')) target.form?.requestSubmit();
});
