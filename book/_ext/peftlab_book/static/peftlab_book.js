// Questions that the reader answers first ({predict}) and quizzes with feedback ({quiz}).
// The HTML is complete without this file; it only folds answers away, remembers commitments, and
// keeps printed tables in their columns.
"use strict";

const store = {
  // A reader may have storage switched off; then a commitment lasts as long as the page.
  get(key) {
    try {
      return localStorage.getItem(`peftlab:${key}`);
    } catch {
      return null;
    }
  },
  set(key, value) {
    try {
      if (value === null) localStorage.removeItem(`peftlab:${key}`);
      else localStorage.setItem(`peftlab:${key}`, value);
    } catch {
      /* nothing to remember it in */
    }
  },
};

// What a card covers: the outputs of the next `count` code cells, and whatever else stands from the
// card to the cell, card, file or heading after the last of them. The code of the cells stays: it is
// there to predict from.
function coveredBy(card, count) {
  const outputs = [];
  const text = [];
  let cells = 0;
  for (let next = card.nextElementSibling; count && next; next = next.nextElementSibling) {
    const isCell = next.matches("div.cell");
    const isCode = isCell || next.matches("[class*=highlight-], .literal-block-wrapper");
    if (next.matches("section, h2, h3") || (cells === count && isCode)) break;
    if (isCell) {
      cells += 1;
      outputs.push(...next.querySelectorAll(".cell_output"));
    } else {
      text.push(next);
    }
  }
  return { outputs, text };
}

function setUpPrediction(card) {
  const form = card.querySelector("form");
  const button = form.querySelector("button");
  const fields = [...form.querySelectorAll("input, textarea")];
  const status = card.querySelector(":scope > .pl-status");
  const answer = card.querySelector(":scope > .pl-answer");
  const { outputs, text } = coveredBy(card, Number(card.dataset.cover));
  for (const part of text) part.classList.add("pl-covered");
  const notes = outputs.map((output) => {
    const note = document.createElement("p");
    note.className = "pl-covered-note";
    note.textContent = "Commit to your prediction above to see this result.";
    output.before(note);
    return note;
  });

  const current = () => {
    if (fields[0].type !== "radio") return fields[0].value.trim();
    const chosen = fields.find((field) => field.checked);
    return chosen ? chosen.value : "";
  };

  const show = (committed) => {
    card.classList.toggle("pl-committed", committed !== null);
    answer.hidden = committed === null;
    answer.open = committed !== null;
    for (const field of fields) {
      field.disabled = committed !== null;
      if (field.type === "radio") {
        field.checked = field.value === committed;
        field.closest("label").classList.toggle("pl-chosen", field.checked);
      } else if (committed !== null) {
        field.value = committed;
      }
    }
    button.textContent = committed === null ? "Commit" : "Predict again";
    for (const part of [...outputs, ...text]) part.hidden = committed === null;
    for (const note of notes) note.hidden = committed !== null;
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (card.classList.contains("pl-committed")) {
      store.set(card.dataset.key, null);
      status.textContent = "";
      show(null);
      fields[0].focus();
      return;
    }
    const value = current();
    if (value === "") {
      status.textContent = "Write or choose something first: a wrong guess teaches more than none.";
      fields[0].focus();
      return;
    }
    store.set(card.dataset.key, value);
    status.textContent = "Your prediction is kept. Compare it with the answer.";
    show(value);
  });
  // Enter commits; Shift+Enter makes a new line.
  form.addEventListener("keydown", (event) => {
    if (event.target.matches("textarea") && event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  button.hidden = false;
  show(store.get(card.dataset.key));
}

function setUpQuiz(card) {
  const forms = [...card.querySelectorAll("form")];
  const score = card.querySelector(":scope > .pl-score");
  const state = new Map(); // form → whether its last answer was right

  const report = () => {
    const right = [...state.values()].filter(Boolean).length;
    score.textContent =
      state.size === forms.length ? `You have ${right} of ${forms.length} right.` : "";
  };

  for (const form of forms) {
    const status = form.querySelector(":scope > .pl-status");
    const choices = [...form.querySelectorAll(".pl-choice")].map((label) => ({
      label,
      field: label.querySelector("input"),
      feedback: label.nextElementSibling,
      right: label.classList.contains("pl-right"),
    }));
    const hide = () => {
      status.textContent = "";
      form.classList.remove("pl-checked");
      for (const { label, feedback } of choices) {
        label.classList.remove("pl-chosen");
        feedback.hidden = true;
      }
    };
    form.addEventListener("change", hide);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      hide();
      if (!choices.some(({ field }) => field.checked)) {
        status.textContent = "Choose an answer first.";
        return;
      }
      form.classList.add("pl-checked");
      for (const { label, field, feedback } of choices) {
        label.classList.toggle("pl-chosen", field.checked);
        feedback.hidden = !field.checked;
        feedback.open = field.checked;
      }
      const correct = choices.every(({ field, right }) => field.checked === right);
      state.set(form, correct);
      status.textContent = correct ? "Right." : "Not yet: read why, and try again.";
      report();
    });
    form.querySelector("button").hidden = false;
    hide();
  }
}

// Printed tables must not break within a line, as printed prose may: two lines or more that align
// something with spaces scroll in their own box. What a check says is prose, label by label.
function keepColumns(output) {
  const aligned = output.textContent.split("\n").filter((line) => /\S {2,}\S/.test(line));
  const verdict = output.textContent.startsWith("status ");
  output.classList.toggle("pl-columns", aligned.length > 1 && !verdict);
}

// A link to something that waits for a prediction shows that much of it.
function uncoverTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const part = target && target.closest(".pl-covered[hidden]");
  if (!part) return;
  part.hidden = false;
  target.scrollIntoView();
}

document.querySelectorAll("div.cell_output pre").forEach(keepColumns);
document.querySelectorAll(".pl-predict").forEach(setUpPrediction);
document.querySelectorAll(".pl-quiz").forEach(setUpQuiz);
uncoverTarget();
window.addEventListener("hashchange", uncoverTarget);
