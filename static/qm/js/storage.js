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
