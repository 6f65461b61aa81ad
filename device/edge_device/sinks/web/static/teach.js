// Labels that are taught on the spot: named, shown, learned, and taken back. Loaded before page.js.
"use strict";

const VERDICTS = {
  idle: () => "",
  teaching: ({ step }) => `${step || "Beginning"}\u2026`,
  written: ({ text }) => `Taught. ${text}. The new file takes over in a moment.`,
  refused: ({ text }) => `Not taught: ${text}.`,
  undone: ({ text }) => `Undone: ${text}.`,
  "not undone": ({ text }) => `Not undone: ${text}.`,
};

let verdict = "";
let refusal = ""; // of what was asked for last; it stays until the board tells something else than before

function showTeaching(teaching) {
  $("teach").hidden = !teaching;
  if (!teaching) return;
  const fresh = Object.entries(teaching.new);
  const busy = teaching.state === "teaching";
  $("teach-new").textContent = fresh.length
    ? `New pictures: ${fresh.map(([label, count]) => `${label} ${number(count)}`).join(", ")}. ${teaching.fewest} of a label are needed, 20 are better.`
    : "Name a new label or take one that is there; press and hold its button while the camera sees the thing, then teach.";
  $("teach-start").disabled = busy || !fresh.length;
  $("teach-undo").hidden = !teaching.undo;
  $("teach-undo").disabled = busy;
  const now = VERDICTS[teaching.state](teaching);
  if (now !== verdict) refusal = "";
  verdict = now;
  sayTaught(refusal || verdict, refusal || ["refused", "not undone"].includes(teaching.state));
}

function refuse(text) {
  refusal = text;
  sayTaught(text, true);
}

function sayTaught(text, refused) {
  if ($("teach-said").textContent !== text) $("teach-said").textContent = text; // else it would be read out again
  $("teach-said").classList.toggle("warning", Boolean(refused));
}

// Tells the board to do something; shows what it makes of it, or why not.
async function askTeacher(path) {
  try {
    const answer = await fetch(at(path), { method: "POST", headers: { "X-Requested-By": "live page" } });
    const said = await answer.json();
    refusal = "";
    if (answer.ok) showKept(said);
    else refuse(`Not done: ${said.error}.`);
    return answer.ok;
  } catch {
    refuse("Not done: the board does not answer.");
    return false;
  }
}

async function addLabel(event) {
  event.preventDefault();
  const name = $("teach-label").value;
  if (!(await askTeacher(`api/teach/labels?label=${encodeURIComponent(name)}`))) return;
  $("teach-label").value = "";
  const wanted = name.normalize("NFC").trim();
  [...$("labels").children].find((button) => button.dataset.label === wanted)?.focus();
}

document.addEventListener("DOMContentLoaded", () => {
  $("teach-name").addEventListener("submit", addLabel);
  $("teach-start").addEventListener("click", () => askTeacher("api/teach"));
  $("teach-undo").addEventListener("click", () => askTeacher("api/teach/undo"));
});
