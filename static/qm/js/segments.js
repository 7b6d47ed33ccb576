// Segmented buttons: arrows move between them, and `qm:seg` says which one was chosen.
import { onClick } from './page.js';

function choose(button) {
  const group = button.closest('[data-seg]');
  for (const other of group.querySelectorAll('button')) other.setAttribute('aria-pressed', String(other === button));
  group.dispatchEvent(new CustomEvent('qm:seg', { bubbles: true, detail: button.value }));
}

onClick('[data-seg] button', choose);

document.addEventListener('keydown', (event) => {
  const direction = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const group = direction && event.target.closest?.('[data-seg]');
  if (!group) return;
  const buttons = [...group.querySelectorAll('button')];
  const next = buttons.at((buttons.indexOf(event.target) + direction) % buttons.length);
  next.focus();
  choose(next);
  event.preventDefault();
});
