// Several cameras on one page: which one is shown, and a tile for each to choose by. Loaded before page.js.
"use strict";

const CHOSEN = new URLSearchParams(location.search).get("camera");
const LOOK_MS = 2000;

const STATES = {
  live: "Live", still: "Nothing moves", late: "No frames", lost: "Source lost", frozen: "Picture frozen", ended: "Source ended",
  starting: "Starting", dark: "Picture dark", overexposed: "Overexposed", covered: "Lens covered", blurred: "Not sharp",
  moved: "Camera moved",
};

// The address of something of a camera; where none is chosen, the server takes the first.
const at = (path, camera = CHOSEN) =>
  camera === null ? path : `${path}${path.includes("?") ? "&" : "?"}camera=${encodeURIComponent(camera)}`;

const levelOf = (health) => (health.state === "live" ? "good" : health.ok ? "warn" : "bad");

// One small picture of each every two seconds: a stream each would take all connections that a browser has for a server.
async function lookAround() {
  let several = true;
  if (document.visibilityState === "visible") {
    try {
      const answer = await fetch("api/cameras");
      const cameras = answer.ok ? (await answer.json()).cameras : [];
      several = !answer.ok || cameras.length > 1;
      if (cameras.length > 1) {
        showCameras(cameras);
        for (const [index, camera] of cameras.entries()) if (camera.ok) await drawTile(index, camera.name);
      }
    } catch { /* tried again below; the page itself tells that there is no connection */ }
  }
  if (several) setTimeout(lookAround, LOOK_MS);
}

function showCameras(cameras) {
  const nav = $("cameras");
  nav.hidden = false;
  while (nav.children.length > cameras.length) nav.lastChild.remove();
  cameras.forEach((camera, index) => {
    const tile = nav.children[index] ?? nav.appendChild(newTile());
    const [, name, label, state] = tile.children;
    tile.href = at("./", camera.name);
    if (camera.name === (CHOSEN ?? cameras[0].name)) tile.setAttribute("aria-current", "page");
    tile.classList.toggle("old", !camera.ok);
    name.textContent = camera.name;
    label.textContent = camera.results.map((result) => `${result.zone ? `${result.zone}: ` : ""}${says(result).label}`).join(", ");
    state.textContent = STATES[camera.state];
    state.dataset.level = levelOf(camera);
  });
}

function newTile() {
  const tile = make("a");
  tile.append(make("canvas", undefined, { width: 160, height: 90, "aria-hidden": "true" }), make("strong"), make("span"));
  tile.append(make("span", undefined, { class: "pill" }));
  return tile;
}

async function drawTile(index, name) {
  const answer = await fetch(at("frame.jpg", name));
  if (!answer.ok) return;
  const bitmap = await createImageBitmap(await answer.blob());
  const canvas = $("cameras").children[index]?.firstChild;
  if (canvas) {
    canvas.height = Math.round((canvas.width * bitmap.height) / bitmap.width);
    canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  }
  bitmap.close();
}

document.addEventListener("DOMContentLoaded", lookAround);
