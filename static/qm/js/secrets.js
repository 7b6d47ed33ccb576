// Leaving a page that shows a secret for the only time asks first, until the person says that they stored it.
import { onClick } from './page.js';

onClick('[data-secret-stored]', () => {
  for (const shown of document.querySelectorAll('[data-unsaved-secret]')) shown.removeAttribute('data-unsaved-secret');
});
addEventListener('beforeunload', (event) => {
  if (document.querySelector('[data-unsaved-secret]')) event.preventDefault();
});
