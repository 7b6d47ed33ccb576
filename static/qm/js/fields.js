// What the server said about a field goes once the person corrects it, and with it its line in the summary.

function errorOf(field) {
  for (const described of [field, field.closest('fieldset')]) {
    const ids = described?.getAttribute('aria-describedby')?.split(' ') ?? [];
    for (const id of ids) {
      const error = document.getElementById(id);
      if (error?.matches('.qm-error')) return { described, error, other: ids.filter((one) => one !== id) };
    }
  }
  return null;
}

function withdraw({ described, error, other }) {
  if (other.length) described.setAttribute('aria-describedby', other.join(' '));
  else described.removeAttribute('aria-describedby');
  const name = error.id.replace(/_error$/, '');
  for (const link of document.querySelectorAll(`[data-error-summary] a[href="#${CSS.escape(name)}"]`)) {
    const summary = link.closest('[data-error-summary]');
    link.closest('li').remove();
    if (!summary.querySelector('li')) summary.remove();
  }
  error.remove();
}

document.addEventListener('input', ({ target }) => {
  // While the browser sees that it is still wrong, the message stays.
  if (!target.validity?.valid) return;
  const found = errorOf(target);
  if (!found) return;
  withdraw(found);
  const fields = found.described === target ? [target] : found.described.querySelectorAll('[aria-invalid]');
  for (const field of fields) field.removeAttribute('aria-invalid');
});
