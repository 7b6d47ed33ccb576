// What pages do beyond links and forms, one subject a file (docs/interface.md). Every module listens on the document,
// so that content swapped in by htmx works without being set up again.
import './dialogs.js';
import './forms.js';
import './keys.js';
import './parts.js';
import './swaps.js';
