/* What pages do beyond links and forms: theme, dialogs, copying, shortcuts, toasts, drafts, and manners for htmx.
   Everything listens on the document, so that content swapped in by htmx works without being set up again. */
(function () {
  'use strict';
  var root = document.documentElement;
  var words = JSON.parse((document.getElementById('qm-words') || { textContent: '{}' }).textContent);

  function stored(storage, key, value) {
    try {
      if (value === undefined) return storage.getItem(key);
      if (value === null) storage.removeItem(key);
      else storage.setItem(key, value);
    } catch (e) {
      /* storage may be switched off; the page works without it */
    }
    return null;
  }

  function say(text) {
    var live = document.getElementById('live');
    if (live) live.textContent = text;
  }

  // ---- theme
  function toggleTheme() {
    var theme = root.getAttribute('data-theme') === 'dark' ? 'light' : 'dark';
    root.setAttribute('data-theme', theme);
    stored(localStorage, 'qm-theme', theme);
    document.dispatchEvent(new Event('qm:theme'));
  }

  // ---- dialogs: <dialog> traps focus, closes on Escape and gives focus back; we add links, hashes and the backdrop
  function openDialog(dialog) {
    if (!dialog || dialog.open) return;
    dialog.querySelectorAll('[data-typed]').forEach(checkTyped);
    dialog.showModal();
    var title = dialog.querySelector('[data-dialog-title]');
    if (title) title.focus();
    if (dialog.hasAttribute('data-dialog-hash')) history.replaceState(history.state, '', '#' + dialog.id);
  }
  function closeDialog(dialog) {
    if (dialog && dialog.open) dialog.close();
  }
  document.addEventListener(
    'close',
    function (event) {
      if (event.target.matches && event.target.matches('dialog[data-dialog-auto]')) event.target.remove();
      if (event.target.hasAttribute && event.target.hasAttribute('data-dialog-hash') && location.hash === '#' + event.target.id)
        history.replaceState(history.state, '', location.pathname + location.search);
    },
    true,
  );
  function openFromHash() {
    var id = decodeURIComponent(location.hash.slice(1));
    var dialog = id && document.getElementById(id);
    if (dialog && dialog.matches('dialog[data-dialog-hash]')) openDialog(dialog);
  }

  // ---- copying
  function copy(button) {
    var source = document.getElementById(button.dataset.copy);
    var text = source ? source.value || source.innerText : button.dataset.copyText;
    navigator.clipboard.writeText(text.trim()).then(
      function () {
        toast(button.dataset.copied || words.copied);
      },
      function () {
        if (!source) return;
        var range = document.createRange();
        range.selectNodeContents(source);
        getSelection().removeAllRanges();
        getSelection().addRange(range);
        toast(words.copyByHand);
      },
    );
  }

  // ---- toasts: good news only; an error stays where it happened
  function toast(text) {
    var list = document.getElementById('toasts');
    var pattern = document.getElementById('toast-pattern');
    if (!list || !pattern) return;
    var item = pattern.content.firstElementChild.cloneNode(true);
    item.querySelector('[data-toast-text]').textContent = text;
    list.replaceChildren(item);
    expire(item);
  }
  function expire(item) {
    var timer;
    var start = function () {
      timer = setTimeout(function () {
        item.remove();
      }, 6000);
    };
    var hold = function () {
      clearTimeout(timer);
    };
    item.addEventListener('pointerenter', hold);
    item.addEventListener('focusin', hold);
    item.addEventListener('pointerleave', start);
    item.addEventListener('focusout', start);
    start();
  }

  // ---- type the name to confirm
  function checkTyped(input) {
    var button = input.form && input.form.querySelector('[data-typed-button]');
    if (button) button.disabled = input.value.trim() !== input.dataset.typed;
  }

  // ---- segmented buttons and number fields
  function choose(button) {
    var group = button.closest('[data-seg]');
    group.querySelectorAll('button').forEach(function (other) {
      other.setAttribute('aria-pressed', String(other === button));
    });
    group.dispatchEvent(new CustomEvent('qm:seg', { bubbles: true, detail: button.value }));
  }
  function step(event) {
    var keys = { ArrowRight: 1, ArrowLeft: -1 };
    var group = event.target.closest && event.target.closest('[data-seg]');
    if (!group || !keys[event.key]) return;
    var buttons = Array.from(group.querySelectorAll('button'));
    var next = buttons[(buttons.indexOf(event.target) + keys[event.key] + buttons.length) % buttons.length];
    next.focus();
    choose(next);
    event.preventDefault();
  }

  // ---- drafts: what was typed into a form marked data-draft is still there after a reload, until it is sent
  function draftKey(form) {
    return 'qm-draft:' + form.dataset.draft;
  }
  function saveDraft(form) {
    var values = {};
    new FormData(form).forEach(function (value, name) {
      if (name !== 'csrfmiddlewaretoken' && typeof value === 'string') values[name] = value;
    });
    stored(sessionStorage, draftKey(form), JSON.stringify(values));
    var note = form.querySelector('[data-draft-note]');
    if (note) {
      note.textContent = note.dataset.draftNote;
      note.hidden = false;
    }
  }
  function restoreDraft(form) {
    var values = stored(sessionStorage, draftKey(form));
    if (!values || form.querySelector('[aria-invalid=true]')) return;
    values = JSON.parse(values);
    Array.from(form.elements).forEach(function (input) {
      if (!(input.name in values) || input.disabled) return;
      if (input.type === 'radio' || input.type === 'checkbox') input.checked = input.value === values[input.name];
      else if (input.type !== 'hidden') input.value = values[input.name];
    });
    var note = form.querySelector('[data-draft-note]');
    if (note) {
      note.textContent = note.dataset.draftNote;
      note.hidden = false;
    }
    form.dispatchEvent(new Event('input', { bubbles: true }));
  }

  // ---- leaving a page that shows a secret asks first
  function guard(event) {
    if (document.querySelector('[data-unsaved-secret]')) event.preventDefault();
  }

  document.addEventListener('click', function (event) {
    if (!(event.target instanceof Element)) return;
    var hit = function (selector) {
      return event.target.closest(selector);
    };
    var found;
    if (hit('[data-theme-toggle]')) toggleTheme();
    else if ((found = hit('[data-dialog-open]'))) {
      var dialog = document.getElementById(found.dataset.dialogOpen);
      if (!dialog || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      openDialog(dialog);
    } else if ((found = hit('[data-dialog-close]'))) closeDialog(found.closest('dialog'));
    else if ((found = hit('[data-copy],[data-copy-text]'))) copy(found);
    else if ((found = hit('[data-toggle]'))) {
      var shown = document.getElementById(found.dataset.toggle).classList.toggle('show');
      found.setAttribute('aria-expanded', String(shown));
    } else if ((found = hit('[data-toast-close]'))) found.closest('.qm-toast').remove();
    else if ((found = hit('[data-seg] button'))) choose(found);
    else if ((found = hit('[data-secret-stored]'))) {
      document.querySelectorAll('[data-unsaved-secret]').forEach(function (el) {
        el.removeAttribute('data-unsaved-secret');
      });
    } else if (event.target.matches('dialog')) closeDialog(event.target); // the backdrop
    document.querySelectorAll('details.qm-pop[open]').forEach(function (menu) {
      if (!menu.contains(event.target)) menu.open = false;
    });
  });
  document.addEventListener('input', function (event) {
    if (event.target.matches && event.target.matches('[data-typed]')) checkTyped(event.target);
    var form = event.target.closest && event.target.closest('form[data-draft]');
    if (form && event.isTrusted) saveDraft(form);
  });
  document.addEventListener('change', function (event) {
    var form = event.target.form;
    if (event.target.matches('[data-auto-submit]') && form) form.requestSubmit();
  });
  document.addEventListener('submit', function (event) {
    var form = event.target;
    if (form.dataset.draft) stored(sessionStorage, draftKey(form), null);
    if (event.submitter) event.submitter.setAttribute('aria-busy', 'true');
  });
  addEventListener('pageshow', function () {
    document.querySelectorAll('[aria-busy=true].btn').forEach(function (button) {
      button.removeAttribute('aria-busy');
    });
  });
  addEventListener('beforeunload', guard);
  addEventListener('hashchange', openFromHash);

  // ---- keyboard: off while typing
  var awaiting = 0;
  document.addEventListener('keydown', function (event) {
    step(event);
    if (event.key === 'Escape')
      document.querySelectorAll('details.qm-pop[open]').forEach(function (menu) {
        menu.open = false;
        menu.querySelector('summary').focus();
      });
    var el = event.target;
    if (!el.matches || el.matches('input,textarea,select,[contenteditable]') || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === '/') {
      var find = document.querySelector('[data-search]') || document.querySelector('.qm-find input');
      if (find) {
        event.preventDefault();
        find.focus();
      }
    } else if (event.key === '?') openDialog(document.getElementById('shortcuts'));
    else if (event.key === 'g') awaiting = Date.now();
    else if (Date.now() - awaiting < 1500) {
      awaiting = 0;
      var link = document.querySelector('[data-go="' + CSS.escape(event.key) + '"]');
      if (link) link.click();
    }
  });

  // ---- htmx: the bar at the top, focus, answers that are not ours, answers that never came
  var underWay = 0;
  document.addEventListener('htmx:before:request', function () {
    underWay += 1;
    root.classList.add('htmx-request');
  });
  document.addEventListener('htmx:finally:request', function () {
    underWay = Math.max(0, underWay - 1);
    if (!underWay) root.classList.remove('htmx-request');
  });
  document.addEventListener('htmx:before:response', function (event) {
    // A session that ended is redirected to the sign-in page; show it as a page, not inside a card.
    var answer = event.detail.ctx.response.raw;
    if (answer.redirected && new URL(answer.url).pathname === document.body.dataset.loginPath) {
      event.preventDefault();
      location.assign(answer.url);
    }
  });
  document.addEventListener('htmx:error', function (event) {
    if (!event.detail.ctx) return;
    var messages = document.getElementById('messages');
    var pattern = document.getElementById('offline-pattern');
    if (messages && pattern) messages.replaceChildren(pattern.content.cloneNode(true));
  });
  var focused;
  document.addEventListener('htmx:before:swap', function () {
    focused = document.activeElement && document.activeElement.id;
  });
  document.addEventListener('htmx:after:swap', function () {
    var again = focused && document.getElementById(focused);
    if (again && document.activeElement !== again) again.focus({ preventScroll: true });
    var summary = document.querySelector('[data-error-summary]');
    if (summary) summary.focus();
    // A confirmation that the server has just counted opens by itself, and leaves the page when it is closed.
    openDialog(document.querySelector('dialog[data-dialog-auto]:not([open])'));
    document.dispatchEvent(new Event('qm:content'));
  });
  document.addEventListener('htmx:config:request', function (event) {
    // Empty fields stay out of the address bar.
    var request = event.detail.ctx.request;
    if (request.method !== 'GET' || !(request.body instanceof FormData)) return;
    Array.from(request.body.keys()).forEach(function (name) {
      if (request.body.get(name) === '') request.body.delete(name);
    });
  });

  // ---- a table wider than its card scrolls; then, and only then, the keyboard can reach it
  function reachScrollers() {
    document.querySelectorAll('.qm-scroll').forEach(function (box) {
      var caption = box.querySelector('caption');
      if (box.scrollWidth <= box.clientWidth) box.removeAttribute('tabindex');
      else {
        box.tabIndex = 0;
        box.setAttribute('role', 'region');
        if (caption) box.setAttribute('aria-label', caption.textContent.trim());
      }
    });
  }
  addEventListener('resize', reachScrollers);
  document.addEventListener('qm:content', reachScrollers);

  function start() {
    openFromHash();
    reachScrollers();
    document.fonts.ready.then(reachScrollers);
    document.querySelectorAll('form[data-draft]').forEach(restoreDraft);
    document.querySelectorAll('#toasts .qm-toast').forEach(expire);
    var summary = document.querySelector('[data-error-summary]');
    if (summary) {
      var panel = summary.closest('dialog');
      if (panel) openDialog(panel);
      summary.focus();
    }
  }
  if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', start);
  else start();
  window.qm = { toast: toast, say: say };
})();
