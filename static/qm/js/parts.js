// What parts of pages do: menus, tabs, segmented buttons, wide tables, copying, toasts, and the switch of the theme.
import { onClick, partOfAddress, words, write } from './page.js';

// Menus close on Escape and on a click elsewhere.
const openMenus = () => document.querySelectorAll('details.qm-pop[open]');

document.addEventListener('click', ({ target }) => {
  for (const menu of openMenus()) if (!menu.contains(target)) menu.open = false;
});
document.addEventListener('keydown', (event) => {
  if (event.key !== 'Escape') return;
  for (const menu of openMenus()) {
    menu.open = false;
    menu.querySelector('summary').focus();
  }
});

// The page of an object shows one of its parts: the one that the address names after #, else its own fields. Without
// this script it shows all of them, below each other.
function showPart() {
  const tabs = document.querySelectorAll('#tabs-wrapper a[href^="#"]');
  const names = Array.from(tabs, (tab) => tab.hash.slice(1));
  if (!names.length) return;
  const wanted = partOfAddress();
  const shown = names.includes(wanted) ? wanted : names[0];
  for (const part of document.querySelectorAll('[data-part]')) part.hidden = part.dataset.part !== shown;
  for (const tab of tabs) {
    if (tab.hash.slice(1) === shown) tab.setAttribute('aria-current', 'true');
    else tab.removeAttribute('aria-current');
  }
  document.dispatchEvent(new Event('qm:content'));
}

addEventListener('hashchange', showPart);
showPart();

// Segmented buttons: arrows move between them, and `qm:seg` says which one was chosen.
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

// A table wider than its card scrolls; then, and only then, the keyboard can reach it.
function reachScrollers() {
  for (const box of document.querySelectorAll('.qm-scroll')) {
    if (box.scrollWidth <= box.clientWidth) {
      box.removeAttribute('tabindex');
      continue;
    }
    box.tabIndex = 0;
    box.setAttribute('role', 'region');
    const caption = box.querySelector('caption');
    if (caption) box.setAttribute('aria-label', caption.textContent.trim());
  }
}

addEventListener('resize', reachScrollers);
document.addEventListener('qm:content', reachScrollers);
document.fonts.ready.then(reachScrollers);
reachScrollers();

// The side menu may be longer than the window. It begins where one is, also when a phone opens it.
function showPlace() {
  document.querySelector('.qm-nav[aria-current]')?.scrollIntoView({ block: 'nearest' });
}

document.getElementById('side')?.addEventListener('toggle', showPlace);
showPlace();

// Copies a text and confirms it. Where the browser refuses, the text is selected for the person to copy.
onClick('[data-copy], [data-copy-text]', async (button) => {
  const source = document.getElementById(button.dataset.copy);
  const text = source ? source.value || source.innerText : button.dataset.copyText;
  try {
    await navigator.clipboard.writeText(text.trim());
    toast(button.dataset.copied || words.copied);
  } catch {
    if (!source) return;
    getSelection().selectAllChildren(source);
    toast(words.copyByHand);
  }
});

// Good news that goes away by itself, unless somebody is reading it. An error is no toast: it stays where it happened.
const SHOWN_MS = 6000;

function toast(text) {
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

// Switches between light and dark. `qm/theme.js` applies the choice before the page paints. Paper is always light.
const root = document.documentElement;

onClick('[data-theme-toggle]', () => {
  root.dataset.theme = root.dataset.theme === 'dark' ? 'light' : 'dark';
  write('localStorage', 'qm-theme', root.dataset.theme);
  document.dispatchEvent(new Event('qm:theme'));
});

let onScreen;
addEventListener('beforeprint', () => {
  onScreen = root.dataset.theme;
  root.dataset.theme = 'light';
});
addEventListener('afterprint', () => {
  root.dataset.theme = onScreen;
});
