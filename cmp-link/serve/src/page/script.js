// What pages gain with scripts: local times that stay right, live updates, and forms that are sent once. Every page
// works without this file.
(() => {
  "use strict";
  const language = document.documentElement.lang;
  const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  const absolute = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
  // The page's clock is the server's: a reader's own may be wrong.
  const skew = Date.now() - Number(document.documentElement.dataset.now || Date.now());
  const steps = [["second", 60], ["minute", 60], ["hour", 24], ["day", 30], ["month", 12], ["year", Infinity]];

  function age(ms) {
    let value = Math.round((ms - (Date.now() - skew)) / 1000);
    for (const [unit, size] of steps) {
      if (Math.abs(value) < size) return relative.format(value, unit);
      value = Math.trunc(value / size);
    }
    return "";
  }

  function times() {
    for (const time of document.querySelectorAll("time[datetime]")) {
      const ms = Date.parse(time.dateTime);
      if (Number.isNaN(ms)) continue;
      const local = absolute.format(ms);
      const text = time.dataset.form === "date" ? local : age(ms);
      if (time.textContent !== text) time.textContent = text;
      time.title = local;
    }
  }

  // A page is not replaced under the hands of somebody who writes in it.
  function isBusy(main) {
    const at = document.activeElement;
    if (at && main.contains(at) && at.matches("input:not([type=hidden]),select,textarea")) return true;
    return [...main.querySelectorAll("input:not([type=hidden])")].some((i) => i.value !== i.defaultValue);
  }

  let late = false;
  async function refresh() {
    const main = document.querySelector("main[data-live]");
    if (!main) return;
    if (document.hidden || isBusy(main)) {
      late = true;
      return;
    }
    late = false;
    const answer = await fetch(location.pathname, { headers: { accept: "text/html" }, credentials: "same-origin" });
    // The session has ended: the page says so itself, and leads to the sign-in.
    if (answer.redirected || !answer.ok) return location.reload();
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const next = page.querySelector("main");
    if (!next || isBusy(main)) return;
    const open = new Set([...main.querySelectorAll("details[open][id]")].map((d) => d.id));
    const focus = document.activeElement && main.contains(document.activeElement) && place(document.activeElement);
    // What was said about the deed before stays until the reader goes on.
    const kept = main.querySelector(":scope > .note[role=status]");
    main.replaceChildren(...next.childNodes);
    const heading = main.querySelector("h1");
    if (kept && heading) heading.after(kept);
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    if (focus) main.querySelector(focus)?.focus();
    times();
  }

  function place(element) {
    const href = element.getAttribute("href");
    if (href) return 'a[href="' + CSS.escape(href) + '"]';
    return element.id ? "#" + CSS.escape(element.id) : "";
  }

  function follow() {
    const main = document.querySelector("main[data-live]");
    if (!main || !window.EventSource) return;
    let source;
    const begin = () => {
      source = new EventSource(main.dataset.live);
      source.addEventListener("change", refresh);
    };
    const end = () => source && source.close();
    document.addEventListener("visibilitychange", () => {
      end();
      if (!document.hidden) {
        if (late) refresh();
        begin();
      }
    });
    document.addEventListener("focusout", () => late && setTimeout(refresh, 500));
    window.addEventListener("pagehide", end);
    window.addEventListener("pageshow", (event) => {
      if (event.persisted) {
        end();
        begin();
      }
    });
    begin();
  }

  // A second press of a button while the first is under way is no second form.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.sent) return event.preventDefault();
    form.dataset.sent = "1";
    for (const button of form.querySelectorAll("button")) button.setAttribute("aria-disabled", "true");
  });
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) {
      delete form.dataset.sent;
      for (const button of form.querySelectorAll("button")) button.removeAttribute("aria-disabled");
    }
  });

  // An error is read out and shown first.
  document.querySelector("[aria-invalid]")?.focus();
  times();
  setInterval(times, 15000);
  follow();
})();
