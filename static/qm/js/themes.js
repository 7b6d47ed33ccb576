// Switches between light and dark. `qm/theme.js` applies the choice before the page paints. Paper is always light.
import { onClick } from './page.js';
import { write } from './storage.js';

const root = document.documentElement;

function show(theme) {
  root.dataset.theme = theme;
  root.classList.toggle('dark', theme === 'dark');
}

onClick('[data-theme-toggle]', () => {
  show(root.dataset.theme === 'dark' ? 'light' : 'dark');
  write('localStorage', 'qm-theme', root.dataset.theme);
  document.dispatchEvent(new Event('qm:theme'));
});

let onScreen;
addEventListener('beforeprint', () => {
  onScreen = root.dataset.theme;
  show('light');
});
addEventListener('afterprint', () => show(onScreen));
