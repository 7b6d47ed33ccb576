// A table wider than its card scrolls; then, and only then, the keyboard can reach it.

function reachScrollers() {
  for (const box of document.querySelectorAll('.qm-scroll')) {
    if (box.scrollWidth <= box.clientWidth) {
      box.removeAttribute('tabindex');
      continue;
    }
    box.tabIndex = 0;
    box.setAttribute('role', 'region');
    const caption = box.querySelector('caption');
    if (caption) box.setAttribute('aria-label', caption.textContent.trim());
  }
}

addEventListener('resize', reachScrollers);
document.addEventListener('qm:content', reachScrollers);
document.fonts.ready.then(reachScrollers);
reachScrollers();
