// Copies a text and confirms it. Where the browser refuses, the text is selected for the person to copy.
import { onClick, words } from './page.js';
import { toast } from './toasts.js';

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
