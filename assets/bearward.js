// What makes the pages more convenient. All of them work without it.
"use strict";

// Times in the reader's zone; the cell goes on to say how far away they are.
function localize(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) {
      time.title = `${at.toLocaleString()} (${time.dateTime})`;
    }
  }
}

// On a narrow page the menu is folded away.
for (const menu of document.querySelectorAll("details[data-menu]")) {
  const narrow = window.matchMedia("(max-width: 900px)");
  const fold = () => { menu.open = !narrow.matches; };
  narrow.addEventListener("change", fold);
  fold();
}

// Selecting all rows of a list, and saying how many are selected. Rows may be read anew meanwhile.
function select(form) {
  const boxes = () => [...form.querySelectorAll("tbody input[type=checkbox]")];
  const all = form.querySelector("input[data-all]");
  const told = form.querySelector("[data-told]");
  const buttons = form.querySelectorAll("button[data-needs-selection]");
  if (!told) return;
  const show = () => {
    const count = boxes().filter((box) => box.checked).length;
    told.textContent = count === 0 ? "Nothing selected" : `${count} selected`;
    all.checked = count > 0 && count === boxes().length;
    all.indeterminate = count > 0 && count < boxes().length;
    for (const button of buttons) button.disabled = count === 0;
  };
  all.hidden = false;
  all.addEventListener("change", () => {
    for (const box of boxes()) box.checked = all.checked;
    show();
  });
  form.addEventListener("change", show);
  show();
}

// Copying a secret.
for (const button of document.querySelectorAll("button[data-copies]")) {
  const source = document.getElementById(button.dataset.copies);
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = "Copied";
  });
}

// Filters apply as soon as they are chosen.
for (const form of document.querySelectorAll("form[data-applies]")) {
  for (const choice of form.querySelectorAll("select")) {
    choice.addEventListener("change", () => form.requestSubmit());
  }
}

// A slider beside a number and its unit: it goes as far as makes sense in that unit.
function slides(slide) {
  const [slider, number] = slide.querySelectorAll("input");
  const unit = slide.querySelector("select");
  const far = { minutes: 1440, hours: 720, days: 365 };
  const follow = () => {
    slider.max = far[unit.value];
    slider.value = number.value;
    slider.setAttribute("aria-valuetext", `${number.value} ${unit.value}`);
  };
  slider.hidden = false;
  slider.addEventListener("input", () => { number.value = slider.value; follow(); });
  number.addEventListener("input", follow);
  unit.addEventListener("change", follow);
  follow();
}

// What a part of a page gets, when it is there first and each time that it is read anew.
function dress(root) {
  localize(root);
  for (const form of root.querySelectorAll("form[data-selection]")) select(form);
  for (const slide of root.querySelectorAll("[data-slide]")) slides(slide);
}
dress(document);

// A link to what is folded away opens it.
for (const folded of document.querySelectorAll("details[data-opens]")) {
  const open = () => { if (location.hash === `#${folded.id}`) folded.open = true; };
  window.addEventListener("hashchange", open);
  open();
}

// What is to be looked at first is brought into view.
document.querySelector("[data-focus]")?.focus();

// A part of the page that is still changing is read anew until it does not.
async function refresh(part) {
  while (part.hasAttribute("data-refreshes")) {
    await new Promise((later) => setTimeout(later, 1000));
    const answer = await fetch(location.pathname);
    if (!answer.ok || answer.redirected) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.getElementById(part.id);
    if (!fresh) return;
    part.replaceWith(fresh);
    dress(fresh);
    part = fresh;
  }
}
// Who cannot be reached is not asked again.
for (const part of document.querySelectorAll("[data-refreshes]")) refresh(part).catch(() => {});

// What others change is seen without a reload: the server says that something has changed, and what
// the page shows of it is read anew. What somebody is about to type or has selected is left alone.
// Some of it goes on without a change of a token, and is read anew from time to time.
const SOON = 700, LATER = 30_000, FAILURES_MAX = 10, AGAIN = 15_000;
const PAUSED = "bearward-paused";

function isTouched(field) {
  if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
  if (field.options) return [...field.options].some((it) => it.selected !== it.defaultSelected) &&
    field.selectedIndex > 0;
  // A slider follows its number.
  return !["hidden", "range"].includes(field.type) && field.value !== field.defaultValue;
}

function isInUse(part) {
  if (part.contains(document.activeElement)) return true;
  const selection = window.getSelection();
  if (!selection.isCollapsed && selection.containsNode(part, true)) return true;
  // What stands for all rows follows from them.
  const fields = [...part.querySelectorAll("input:not([data-all]), select, textarea")];
  return fields.some(isTouched) || part.querySelector("details[open]:not([data-open])") !== null;
}

// Whether all of a part is as it is now.
function renew(part, fresh) {
  if (!isInUse(part)) {
    part.replaceWith(fresh);
    dress(fresh);
    return true;
  }
  for (const row of part.querySelectorAll("tr[data-row]")) {
    const other = fresh.querySelector(`tr[data-row="${row.dataset.row}"]`);
    if (other && !isInUse(row)) {
      row.replaceWith(other);
      localize(other);
    }
  }
  return false;
}

function live(main) {
  const parts = () => [...document.querySelectorAll("[data-live]")];
  let since = main.dataset.since, source = null, failures = 0;
  let isAsking = false, isNews = false, isStale = false;
  const isPaused = () => sessionStorage.getItem(PAUSED) !== null;

  async function ask() {
    isNews = true;
    if (isAsking || isPaused()) return;
    isAsking = true;
    try {
      while (isNews) {
        isNews = false;
        const headers = { "bearward-by-itself": "yes" };
        const answer = await fetch(location.href, { headers });
        if (!answer.ok || answer.redirected) return;
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        isStale = false;
        askLater(page);
        for (const part of parts()) {
          const fresh = page.getElementById(part.id);
          if (fresh && !renew(part, fresh)) isStale = true;
        }
        await new Promise((later) => setTimeout(later, SOON));
      }
    } catch {
      // Who cannot be reached is asked again when there is news.
    } finally {
      isAsking = false;
    }
  }

  // What takes long to count is kept for moments, and says when there is something newer.
  function askLater(page) {
    const old = page.querySelector("[data-old-for]");
    if (old) setTimeout(ask, Number(old.dataset.oldFor) + 50);
  }

  function close() {
    source?.close();
    source = null;
  }

  // Hidden pages listen to nothing: a browser has few connections.
  function listen() {
    if (document.hidden || source || isPaused()) return;
    source = new EventSource(`/events?since=${since}`);
    source.addEventListener("open", () => { failures = 0; });
    source.addEventListener("changed", (event) => {
      since = event.lastEventId;
      const changed = event.data.split(" ");
      const isShown = (part) => part.dataset.live === "list" || changed.includes(part.dataset.live);
      if (changed.includes("list") || parts().some(isShown)) ask();
    });
    source.addEventListener("error", () => {
      if (source?.readyState !== EventSource.CLOSED) return;
      close();
      failures += 1;
      if (failures < FAILURES_MAX) setTimeout(listen, LATER);
    });
  }

  document.addEventListener("visibilitychange", () => { if (document.hidden) close(); else listen(); });
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", listen);
  const retry = () => { if (isStale) setTimeout(ask, 0); };
  document.addEventListener("focusout", retry);
  document.addEventListener("change", retry);
  if (document.querySelector("[data-again]")) {
    setInterval(() => { if (!document.hidden) ask(); }, AGAIN);
  }

  // Whoever reads may want the page to hold still.
  const liveness = document.querySelector("[data-liveness]");
  const button = liveness.querySelector("button"), says = liveness.querySelector("[data-says]");
  const show = () => {
    liveness.classList.toggle("paused", isPaused());
    says.textContent = isPaused() ? "Paused" : "Live";
    button.textContent = isPaused() ? "Go on" : "Pause";
    button.setAttribute("aria-label", isPaused() ? "Go on with live changes" : "Pause live changes");
  };
  button.addEventListener("click", () => {
    if (isPaused()) sessionStorage.removeItem(PAUSED); else sessionStorage.setItem(PAUSED, "yes");
    show();
    if (isPaused()) close(); else { listen(); ask(); }
  });
  liveness.hidden = false;
  show();
  askLater(document);
  listen();
}
if (document.querySelector("[data-live]")) live(document.querySelector("main[data-since]"));
