// The page of an object shows one of its parts: the one that the address names after #, else its own fields. Without
// this script it shows all of them, below each other.
import { partOfAddress } from './page.js';

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
