// What keys do: those that work while nobody types, and those of the search.
import { openDialog } from './dialogs.js';

// Keys that work while nobody types: `/` searches, `n` takes the next step, `g` and a letter goes somewhere, `?` lists them.
// People can switch all of them off in that list, which the account menu opens, too.
const SECOND_KEY_MS = 1500;
// The one filled button of a view is its next step; in a list without one, its first row is.
const NEXT_STEPS = ['[data-next]', '.btn-primary', '#results :is(h2, th) a', '#result_list :is(th, td) a'];
const EMPTY_FIELD = ':is(input, select, textarea):invalid';
let waitingSince = -Infinity;

// This key sends nothing and confirms nothing: where a form waits to be sent, the first field without an answer gets the
// cursor, and a button that says something for the person gets the focus.
function takeNextStep() {
  const place = document.querySelector('dialog[open]') || document.querySelector('main');
  const steps = NEXT_STEPS.flatMap((selector) => [...place.querySelectorAll(selector)]);
  const step = steps.find((element) => element.checkVisibility());
  if (step?.matches(':is(a, button[type=button]):not([data-secret-stored])')) step.click();
  else if (step) {
    const fields = step.matches('[type=submit]') ? [...(step.form?.elements || [])] : [];
    (fields.find((field) => field.matches(EMPTY_FIELD)) || fields.find((field) => field.matches('textarea')) || step).focus();
  }
}

document.addEventListener('keydown', (event) => {
  const isTyping = event.target.matches?.('input, textarea, select, [contenteditable]');
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  if (document.body.dataset.singleKeys === 'off') return;
  if (event.key === '/') {
    const search = document.querySelector('[data-search]') || document.querySelector('.qm-find input');
    if (!search) return;
    event.preventDefault();
    search.focus();
  } else if (event.key === '?') openDialog(document.getElementById('shortcuts'));
  else if (event.key === 'g') waitingSince = event.timeStamp;
  else if (event.timeStamp - waitingSince < SECOND_KEY_MS) {
    waitingSince = -Infinity;
    document.querySelector(`[data-go="${CSS.escape(event.key)}"]`)?.click();
  } else if (event.key === 'n') {
    event.preventDefault();
    takeNextStep();
  }
});

// The search of the top bar: Ctrl+K or Cmd+K leads to it, the arrow keys go through what it found, Enter opens the first.
const field = () => document.querySelector('[data-find] input');
const panel = () => document.querySelector('.qm-finder #found');
const links = () => [...(panel()?.querySelectorAll('a') ?? [])];

const closeResults = () => panel()?.replaceChildren();

document.addEventListener('keydown', (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === 'k' && field()) {
    event.preventDefault();
    field().focus();
    field().select();
    return;
  }
  const finder = event.target.closest?.('.qm-finder');
  if (!finder) return;
  if (event.key === 'Escape') {
    closeResults();
    field().focus();
    return;
  }
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  // The field stands before the first link.
  const stops = [field(), ...links()];
  const next = stops.indexOf(document.activeElement) + step;
  stops[Math.max(0, Math.min(next, stops.length - 1))].focus();
});
// Enter in the field opens the first result, if the results are those of this very term.
document.addEventListener('submit', (event) => {
  if (!event.target.matches('[data-find]')) return;
  const [first] = links();
  if (!first || panel().dataset.for !== field().value.trim()) return;
  event.preventDefault();
  first.click();
});
document.addEventListener('click', ({ target }) => {
  if (!target.closest('.qm-finder')) closeResults();
});
document.addEventListener('focusin', ({ target }) => {
  if (!target.closest('.qm-finder')) closeResults();
});
