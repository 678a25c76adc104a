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
localize(document);

// On a narrow page the menu is folded away.
for (const menu of document.querySelectorAll("details[data-menu]")) {
  const narrow = window.matchMedia("(max-width: 900px)");
  const fold = () => { menu.open = !narrow.matches; };
  narrow.addEventListener("change", fold);
  fold();
}

// Selecting all rows of a list, and saying how many are selected.
for (const form of document.querySelectorAll("form[data-selection]")) {
  const boxes = [...form.querySelectorAll("tbody input[type=checkbox]")];
  const all = form.querySelector("input[data-all]");
  const told = form.querySelector("[data-told]");
  const buttons = form.querySelectorAll("button[data-needs-selection]");
  if (!told) continue;
  const show = () => {
    const count = boxes.filter((box) => box.checked).length;
    told.textContent = count === 0 ? "Nothing selected" : `${count} selected`;
    all.checked = count > 0 && count === boxes.length;
    all.indeterminate = count > 0 && count < boxes.length;
    for (const button of buttons) button.disabled = count === 0;
  };
  all.hidden = false;
  all.addEventListener("change", () => {
    for (const box of boxes) box.checked = all.checked;
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
for (const slide of document.querySelectorAll("[data-slide]")) {
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
    localize(fresh);
    part = fresh;
  }
}
// Who cannot be reached is not asked again.
for (const part of document.querySelectorAll("[data-refreshes]")) refresh(part).catch(() => {});
