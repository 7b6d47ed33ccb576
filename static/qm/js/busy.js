// The button that sent a form says that it is at work; a choice that needs no button sends its form itself.

document.addEventListener('submit', ({ submitter }) => submitter?.setAttribute('aria-busy', 'true'));
// Going back shows the page as it was left.
addEventListener('pageshow', () => {
  for (const button of document.querySelectorAll('.btn[aria-busy=true]')) button.removeAttribute('aria-busy');
});
document.addEventListener('change', ({ target }) => {
  if (target.matches('[data-auto-submit]')) target.form?.requestSubmit();
});
