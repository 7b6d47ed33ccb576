// Keys of a list of work and of the page of one piece: `j` and `k` go through the rows, or to the next and the previous
// page; `a` and `r` lead to the answer. None of them sends anything: the person presses the button that has the focus.
const ANSWERS = { a: '#approve', r: '#reject' };

// One stop for each row: its checkbox, if it has one, else its link.
const stops = () => [...document.querySelectorAll('#result_list tr')].map((row) => row.querySelector('[data-row], th a, td a')).filter(Boolean);

function step(by) {
  const link = document.querySelector(`[data-key="${by > 0 ? 'j' : 'k'}"]`);
  if (link) return link.click();
  const rows = stops();
  const here = rows.findIndex((row) => row.closest('tr').contains(document.activeElement));
  const next = here < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.max(0, Math.min(here + by, rows.length - 1));
  rows[next]?.focus();
}

// A rejection needs a reason: the cursor goes there first.
function answer(key) {
  const button = document.querySelector(`[data-key="${key}"]`);
  const reason = document.querySelector('[data-key-reason]');
  if (button) return (key === 'r' && reason && !reason.value.trim() ? reason : button).focus();
  const row = document.activeElement.closest?.('#result_list tr');
  const link = row?.querySelector('th a, td a');
  if (link) window.location.assign(link.href + ANSWERS[key]);
}

document.addEventListener('keydown', (event) => {
  if (event.target.matches?.('input:not([type=checkbox]), textarea, select, [contenteditable]')) return;
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
  if (document.body.dataset.singleKeys === 'off') return;
  if (event.key === 'j' || event.key === 'k') step(event.key === 'j' ? 1 : -1);
  else if (event.key in ANSWERS) answer(event.key);
  else return;
  event.preventDefault();
});

const wanted = Object.keys(ANSWERS).find((key) => ANSWERS[key] === window.location.hash);
if (wanted) {
  answer(wanted);
  // The address of the page after the decision would inherit it, and the next Enter would decide there.
  window.history.replaceState(null, '', window.location.pathname + window.location.search);
}
