/* The staff site's dialogs of actions: opens #modal when htmx has put a dialog into it, and closes it. Without this script,
   or in a tab of its own, the same address is a whole page. */
(function () {
  'use strict';
  const modal = document.getElementById('modal');
  const content = document.getElementById('modal-content');
  let opener = null;

  /** What gets the focus: the first wrong field, the errors, or the title. */
  function target() {
    return content.querySelector('.errors input, .errors select, .errors textarea, [role="alert"], #dialog-title');
  }
  /** A secret is shown once, so only its own button closes it. */
  function holdsSecret() {
    return content.querySelector('[data-unsaved-secret]') !== null;
  }
  function giveBackFocus() {
    if (!opener) return;
    const menu = opener.closest('details.qm-more');
    (menu && !menu.open ? menu.querySelector('summary') : opener).focus();
    opener = null;
  }

  document.addEventListener(
    'click',
    (event) => {
      const link = event.target.closest('[hx-target="#modal-content"]');
      if (link) opener = link;
    },
    true,
  );
  // Observed, not heard from htmx, whose events are named differently in each of its versions.
  new MutationObserver(() => {
    if (!content.querySelector('#dialog')) return;
    if (!modal.open) modal.showModal();
    target()?.focus();
  }).observe(content, { childList: true });

  modal.addEventListener('click', (event) => {
    if (event.target.closest('[data-secret-stored]'))
      content.querySelectorAll('[data-unsaved-secret]').forEach((secret) => secret.removeAttribute('data-unsaved-secret'));
    const wantsClosing = event.target === modal || event.target.closest('[data-dialog-close]');
    if (wantsClosing && !holdsSecret()) modal.close();
  });
  // Browsers close a dialog at the second Escape in a row without asking, so the key itself ends here.
  document.addEventListener(
    'keydown',
    (event) => {
      if (event.key === 'Escape' && modal.open && holdsSecret()) event.preventDefault();
    },
    true,
  );
  modal.addEventListener('cancel', (event) => {
    if (holdsSecret()) event.preventDefault();
  });
  modal.addEventListener('close', () => {
    // Other ways than the key, such as the back gesture of a phone, must not lose it either.
    if (holdsSecret()) {
      modal.showModal();
      return;
    }
    content.replaceChildren();
    giveBackFocus();
  });
})();
