// The inbox: groups of frames that look alike, labeled by keys: 1 to 9 a class, u none of these, space the next group.
import { api, attempt, element, get, listen, segment, send, tell } from "./studio.js";

const place = document.getElementById("groups");
const buttons = [...document.querySelectorAll("#labels [data-label]")];
let groups = [];
let current = 0;
const gone = new Set(); // keys of frames that were labeled or thrown away here: an answer may still have them that was asked for before

async function load() {
  const told = await get(api("inbox"));
  const left = told.groups.map(({ label, frames }) => ({ label, frames: frames.filter(({ key }) => !gone.has(key)) }));
  groups = left.filter(({ frames }) => frames.length).map(makeGroup);
  place.replaceChildren(...groups.map((group) => group.root));
  current = 0;
  show();
}

function show() {
  const frames = groups.reduce((sum, group) => sum + group.size(), 0);
  document.getElementById("count").textContent = frames ? `${frames} frames in ${groups.length} groups` : "The inbox is empty.";
  document.getElementById("labels").hidden = document.getElementById("help").hidden = !frames;
  current = Math.max(0, Math.min(current, groups.length - 1));
  groups.forEach((group, number) => (number === current ? group.root.setAttribute("aria-current", "true") : group.root.removeAttribute("aria-current")));
}

function move(step) {
  current += step;
  show();
  groups[current]?.root.scrollIntoView({ block: "nearest" });
}

function makeGroup({ label, frames }) {
  const tiles = new Map();
  for (const frame of frames) {
    const box = element("input", { type: "checkbox", checked: true });
    const best = frame.top[0];
    const words = `${frame.board_name}, ${frame.taken.slice(0, 16).replace("T", " ")}: ${frame.reason}${best ? `, ${best[0]} ${(100 * best[1]).toFixed(0)} %` : ""}`;
    tiles.set(frame.key, element("label", { className: "frame", title: words },
      element("img", { src: `${api("inbox/picture")}?key=${segment(frame.key)}`, alt: words, loading: "lazy" }), box));
  }
  const heading = element("h2", {});
  const root = element("section", { className: "group" }, heading, element("div", { className: "frames" }, ...tiles.values()));
  const boxOf = (key) => tiles.get(key).querySelector("input");
  const name = () => { heading.textContent = `${tiles.size} frame${tiles.size > 1 ? "s" : ""}${label ? `, most like ${label}` : ""}`; };
  const group = {
    root,
    size: () => tiles.size,
    ticked: () => [...tiles.keys()].filter((key) => boxOf(key).checked),
    /** Takes frames out; those that stay are ticked anew. */
    leave: (keys) => {
      for (const key of keys) { tiles.get(key).remove(); tiles.delete(key); }
      for (const key of tiles.keys()) boxOf(key).checked = true;
      name();
    },
  };
  name();
  for (const kind of ["focusin", "pointerdown"]) root.addEventListener(kind, () => { current = groups.indexOf(group); show(); });
  return group;
}

/** Takes the ticked frames out of the marked group, and returns them; the next group is marked if none is left. */
function takeTicked() {
  const group = groups[current];
  const keys = group?.ticked() ?? [];
  if (!keys.length) return keys;
  for (const key of keys) gone.add(key);
  group.leave(keys);
  if (!group.size()) {
    groups.splice(current, 1);
    group.root.remove();
  }
  show();
  return keys;
}

let queue = Promise.resolve(); // one request after the other, in the order of the keys
/** Has something done with frames that the page no longer shows. `ask` gives the keys of those that stay, which come back, as all do if it fails. */
function settle(keys, ask) {
  if (!keys.length) return;
  queue = queue.then(() => attempt(async () => {
    let left = keys;
    try {
      left = await ask();
    } finally {
      for (const key of left) gone.delete(key);
      if (left.length) await load();
    }
  }));
}

function label(name) {
  const keys = takeTicked();
  settle(keys, async () => {
    const told = await send(api("inbox/label"), { keys, label: name });
    for (const { reason } of told.refused.slice(0, 3)) tell(reason, { bad: true });
    tell(`${told.added.length} photos of ${name}${told.known ? `; ${told.known} were there already` : ""}.`);
    return told.refused.map(({ key }) => key);
  });
}

function drop() {
  const keys = takeTicked();
  settle(keys, async () => { await send(api("inbox/drop"), { keys }); return []; });
}

for (const button of buttons) button.addEventListener("click", () => label(button.dataset.label));
document.getElementById("skip").addEventListener("click", () => move(1));
document.getElementById("drop").addEventListener("click", drop);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input:not([type=checkbox]), select, textarea")) return;
  const onControl = event.target.matches("button, a, input");
  if (/^[1-9]$/.test(event.key) && Number(event.key) < buttons.length) label(buttons[Number(event.key) - 1].dataset.label);
  else if (event.key === "u") label(buttons.at(-1).dataset.label);
  else if (event.key === "Delete") drop();
  else if (event.key === "ArrowDown") move(1);
  else if (event.key === "ArrowUp") move(-1);
  else if (event.key === " " && !onControl) move(1); // on a button or a box it presses it
  else return;
  event.preventDefault();
});

document.getElementById("fetch").addEventListener("click", (event) => attempt(async () => {
  event.target.disabled = true;
  try {
    const told = await send(api("inbox/fetch"));
    for (const reason of told.errors.slice(0, 3)) tell(reason, { bad: true });
    tell(`${told.fetched} new frames.`);
    await load();
  } finally {
    event.target.disabled = false;
  }
}));

const loadIfEmpty = () => { if (!groups.length) attempt(load); };
listen({ inbox: loadIfEmpty, reload: loadIfEmpty });
attempt(load);
