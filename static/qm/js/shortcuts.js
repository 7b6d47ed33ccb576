// Keys that work while nobody types: `/` searches, `g` and a letter goes somewhere, `?` lists them.
import { openDialog } from './dialogs.js';

const SECOND_KEY_MS = 1500;
let waitingSince = -Infinity;

document.addEventListener('keydown', (event) => {
  const isTyping = event.target.matches?.('input, textarea, select, [contenteditable]');
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
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
  }
});
