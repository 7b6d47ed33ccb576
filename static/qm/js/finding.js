// The search of the top bar: Ctrl+K or Cmd+K leads to it, the arrow keys go through what it found, Enter opens the first.
const field = () => document.querySelector('[data-find] input');
const panel = () => document.querySelector('.qm-finder #found');
const links = () => [...(panel()?.querySelectorAll('a') ?? [])];

const close = () => panel()?.replaceChildren();

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
    close();
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
  if (!target.closest('.qm-finder')) close();
});
document.addEventListener('focusin', ({ target }) => {
  if (!target.closest('.qm-finder')) close();
});
