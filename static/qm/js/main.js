// What pages do beyond links and forms, one behavior a file (docs/interface.md). Every module listens on the document,
// so that content swapped in by htmx works without being set up again.
import './busy.js';
import './copying.js';
import './dialogs.js';
import './drafts.js';
import './fields.js';
import './finding.js';
import './menus.js';
import './parts.js';
import './scrolling.js';
import './secrets.js';
import './segments.js';
import './shortcuts.js';
import './swaps.js';
import './themes.js';
import './toasts.js';
