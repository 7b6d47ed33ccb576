// Menus close on Escape and on a click elsewhere; a button shows or hides what it names.
import { onClick } from './page.js';

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
onClick('[data-toggle]', (button) => {
  const isShown = document.getElementById(button.dataset.toggle).classList.toggle('show');
  button.setAttribute('aria-expanded', String(isShown));
});
