// Good news that goes away by itself, unless somebody is reading it. An error is no toast: it stays where it happened.
import { onClick } from './page.js';

const SHOWN_MS = 6000;

export function toast(text) {
  const list = document.getElementById('toasts');
  const pattern = document.getElementById('toast-pattern');
  if (!list || !pattern) return;
  const item = pattern.content.firstElementChild.cloneNode(true);
  item.querySelector('[data-toast-text]').textContent = text;
  list.replaceChildren(item);
  expire(item);
}

function expire(item) {
  let timer;
  const isRead = () => item.matches(':hover, :focus-within');
  const restart = () => {
    clearTimeout(timer);
    timer = setTimeout(() => (isRead() ? restart() : item.remove()), SHOWN_MS);
  };
  item.addEventListener('pointerleave', restart);
  item.addEventListener('focusout', restart);
  restart();
}

onClick('[data-toast-close]', (button) => button.closest('.qm-toast').remove());
document.querySelectorAll('#toasts .qm-toast').forEach(expire);
