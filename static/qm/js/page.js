// What several behaviors need of the page and of the browser's storage.

// The sentences that scripts say, translated by the server.
export const words = JSON.parse(document.getElementById('qm-words')?.textContent || '{}');

// Calls `handle(found, event)` for clicks on or inside an element that `selector` finds.
export function onClick(selector, handle) {
  document.addEventListener('click', (event) => {
    const found = event.target instanceof Element && event.target.closest(selector);
    if (found) handle(found, event);
  });
}

// What the address names after #. Empty if it cannot be read, as in `#100%`.
export function partOfAddress() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return '';
  }
}

// Storage may be switched off or full. Pages work without it.
export function read(storage, key) {
  try {
    return window[storage].getItem(key);
  } catch {
    return null;
  }
}

export function write(storage, key, value) {
  try {
    window[storage].setItem(key, value);
  } catch {
    // The page forgets it.
  }
}

export function forget(storage, key) {
  try {
    window[storage].removeItem(key);
  } catch {
    // There was nothing to forget.
  }
}
