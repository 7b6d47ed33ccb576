// The dialog of an action on the staff site: opens over the page once htmx has put the action's form into it. Without
// this script, or in a tab of its own, the same address is a whole page.
import { openDialog } from './dialogs.js';

const modal = document.getElementById('modal');
const content = document.getElementById('modal-content');
let opener = null;

// What gets the focus: the first wrong field, the errors, or the title.
const target = () => content.querySelector('.errors input, .errors select, .errors textarea, [role="alert"], #dialog-title');

function giveBackFocus() {
  const menu = opener?.closest('details.qm-more');
  (menu && !menu.open ? menu.querySelector('summary') : opener)?.focus();
  opener = null;
}

document.addEventListener(
  'click',
  (event) => {
    opener = event.target.closest('[hx-target="#modal-content"]') || opener;
  },
  true,
);
// The form comes, and after a mistake comes again.
new MutationObserver(() => {
  if (!content.querySelector('#dialog')) return;
  openDialog(modal);
  target()?.focus();
}).observe(content, { childList: true });

modal.addEventListener('close', () => {
  // It is open again if it holds a secret.
  if (modal.open) return;
  content.replaceChildren();
  giveBackFocus();
});
