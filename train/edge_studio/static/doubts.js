// One photo after the other whose label may be wrong; each is decided by a key.
import { api, attempt, element, get, segment, send, tell } from "./studio.js";

const $ = (id) => document.getElementById(id);
let doubts = [];
let classes = [];
let decided = 0;
let busy = false;

function show() {
  const [doubt] = doubts;
  $("doubt").hidden = !doubt;
  $("left").textContent = doubt ? `${doubts.length} to decide` : decided ? "All decided." : "No label is in doubt.";
  if (!doubt) return;
  $("doubt-photo").src = api(`preview?path=${segment(doubt.path)}&version=${doubt.version}`);
  $("doubt-photo").alt = `Photo labeled ${doubt.label}`;
  $("doubt-label").textContent = `${doubt.label}?`;
  $("doubt-reason").textContent = doubt.reason;
  $("suggested").textContent = `It is ${doubt.suggested}`;
  $("labels").replaceChildren(...classes.map((label, at) => {
    const button = element("button", { type: "button" }, at < 9 ? `${at + 1} ${label}` : label);
    button.addEventListener("click", () => relabel(label));
    return button;
  }));
  // The next one is there when this one is decided.
  if (doubts[1]) new Image().src = api(`preview?path=${segment(doubts[1].path)}&version=${doubts[1].version}`);
}

/** Decides the photo in view, once; `work` has the studio do it. */
const decide = (work) => attempt(async () => {
  const [doubt] = doubts;
  if (!doubt || busy) return;
  busy = true;
  try {
    const answer = await work(doubt);
    if (answer?.title) tell(answer.title);
    $("undo").disabled = !answer?.undo && $("undo").disabled;
    doubts.shift();
    decided += 1;
  } finally {
    busy = false;
    show();
  }
});

const right = () => decide((doubt) => send(api("doubts/right"), { path: doubt.path }));
const relabel = (label) => (label === doubts[0]?.label ? right()
  : decide((doubt) => send(api("photos/move"), { paths: [doubt.path], label })));
const bin = () => decide((doubt) => send(api("photos/delete"), { paths: [doubt.path] }));
const later = () => { doubts.push(doubts.shift()); show(); };
const undo = () => attempt(async () => {
  tell((await send(api("undo"))).title);
  await load();
});

for (const [id, work] of Object.entries({ right, bin, later, undo })) $(id).addEventListener("click", work);
$("suggested").addEventListener("click", () => relabel(doubts[0].suggested));
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("a, dialog, select, input")) return;
  // A button in focus keeps its own Enter and Space.
  const onButton = event.target.closest("button") && ["Enter", " "].includes(event.key);
  const keys = { Enter: right, " ": later, Delete: bin, u: undo };
  if (onButton || (!doubts.length && event.key !== "u")) return;
  if (/^[1-9]$/.test(event.key) && classes[event.key - 1]) relabel(classes[event.key - 1]);
  else if (keys[event.key]) keys[event.key]();
  else return;
  event.preventDefault();
});

async function load() {
  ({ photos: doubts, classes } = await get(api("doubts")));
  show();
}

attempt(load);
