// Shows what changes at once; without it the page works, by loading anew. Everything is drawn by the server: this script
// asks for the page again and puts the new screen in the place of the old one.
'use strict';
(() => {
  let busy = false;
  let stale = false;

  const field = () => document.querySelector('input[name=user]');

  const show = async (answer) => {
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    const next = page.getElementById('screen');
    const present = document.getElementById('screen');
    if (!next || !present) {
      location.reload();
      return;
    }
    const active = document.activeElement && document.activeElement.id;
    document.documentElement.className = page.documentElement.className;
    document.documentElement.lang = page.documentElement.lang;
    document.title = page.title;
    if (answer.url && new URL(answer.url).origin === location.origin) {
      history.replaceState(null, '', answer.url);
    }
    if (present.innerHTML !== next.innerHTML) {
      present.replaceWith(document.importNode(next, true));
      const again = active && document.getElementById(active);
      if (again) again.focus();
    }
  };

  const ask = async (address, options) => {
    busy = true;
    try {
      await show(await fetch(address, options));
    } catch {
      lost(true);
    } finally {
      busy = false;
      if (stale) refresh();
    }
  };

  // A name that is being typed stays.
  const refresh = () => {
    if (busy) {
      stale = true;
      return;
    }
    stale = false;
    const typed = field();
    if (typed && document.activeElement === typed) return;
    ask(location.pathname);
  };

  const lost = (is) => {
    const line = document.getElementById('lost');
    if (line) line.hidden = !is;
  };

  document.addEventListener('submit', (event) => {
    event.preventDefault();
    if (busy) return;
    const form = event.target;
    const body = new URLSearchParams(new FormData(form, event.submitter));
    ask(form.action, { method: 'POST', body });
  });

  // Digits of a keyboard press the keys of the pad.
  document.addEventListener('keydown', (event) => {
    const name = event.key === 'Backspace' ? 'back' : event.key;
    if (field() || !/^([0-9]|back)$/.test(name)) return;
    const key = document.querySelector(`button[name=key][value="${name}"]`);
    if (key) {
      event.preventDefault();
      key.click();
    }
  });

  const events = new EventSource('/events');
  events.onopen = () => lost(false);
  events.onerror = () => lost(true);
  events.onmessage = refresh;
})();
