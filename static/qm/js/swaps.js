// Manners for htmx: the bar at the top, the focus, answers that are not ours, answers that never came.
import { focusSummary } from './dialogs.js';

const root = document.documentElement;

let underWay = 0;
document.addEventListener('htmx:before:request', () => {
  underWay += 1;
  root.classList.add('htmx-request');
});
document.addEventListener('htmx:finally:request', () => {
  underWay = Math.max(0, underWay - 1);
  if (!underWay) root.classList.remove('htmx-request');
});

document.addEventListener('htmx:before:response', (event) => {
  // A session that ended is redirected to the sign-in page; show it as a page, not inside a card.
  const answer = event.detail.ctx.response.raw;
  if (!answer.redirected || new URL(answer.url).pathname !== document.body.dataset.loginPath) return;
  event.preventDefault();
  location.assign(answer.url);
});

document.addEventListener('htmx:error', (event) => {
  if (!event.detail.ctx) return;
  const pattern = document.getElementById('offline-pattern');
  if (!pattern) return;
  const note = pattern.content.firstElementChild.cloneNode(true);
  note.dataset.offline = '';
  document.getElementById('messages')?.replaceChildren(note);
});
document.addEventListener('htmx:before:response', () => document.querySelector('[data-offline]')?.remove());

document.addEventListener('htmx:config:request', (event) => {
  // Empty fields stay out of the address bar.
  const { method, body } = event.detail.ctx.request;
  if (method !== 'GET' || !(body instanceof FormData)) return;
  for (const name of [...body.keys()]) if (body.get(name) === '') body.delete(name);
});

let focused;
document.addEventListener('htmx:before:swap', () => {
  focused = document.activeElement?.id;
});
document.addEventListener('htmx:after:swap', () => {
  const again = focused && document.getElementById(focused);
  if (again && document.activeElement !== again) again.focus({ preventScroll: true });
  // What the search found takes no focus from the field that is being typed in.
  if (focused !== 'find') focusSummary();
  document.dispatchEvent(new Event('qm:content'));
});
