// What makes the pages more convenient. All of them work without it.
"use strict";

// Times in the reader's zone; the cell goes on to say how far away they are.
for (const time of document.querySelectorAll("time[datetime]")) {
  const at = new Date(time.dateTime);
  if (!Number.isNaN(at.getTime())) {
    time.title = `${at.toLocaleString()} (${time.dateTime})`;
  }
}

// Selecting all rows of a list, and saying how many are selected.
for (const form of document.querySelectorAll("form[data-selection]")) {
  const boxes = [...form.querySelectorAll("tbody input[type=checkbox]")];
  const all = form.querySelector("input[data-all]");
  const told = form.querySelector("[data-told]");
  const buttons = form.querySelectorAll("button[data-needs-selection]");
  const show = () => {
    const count = boxes.filter((box) => box.checked).length;
    told.textContent = count === 0 ? "Nothing selected" : `${count} selected`;
    all.checked = count > 0 && count === boxes.length;
    all.indeterminate = count > 0 && count < boxes.length;
    for (const button of buttons) button.disabled = count === 0;
  };
  if (all) {
    all.hidden = false;
    all.addEventListener("change", () => {
      for (const box of boxes) box.checked = all.checked;
      show();
    });
  }
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
