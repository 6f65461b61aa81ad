// The page: opens the model, lets it prove itself, then shows what the camera, a picture or a video is.

import { asset, checkCode, FileError, site, unpacked } from "./assets.js";
import { Camera } from "./camera.js";
import { exported, forgetAll, keep, kept } from "./corrections.js";
import { Engine } from "./engine.js";
import { followUpdates } from "./offline.js";
import { settings, showSettings } from "./settings.js";
import { allowSound, signalLabel } from "./signals.js";
import { $, make, percent, searched, setText, showBanner, showMore, showPill, showRows, showTop, showVerdict, showWindow } from "./view.js";

/** @typedef {import("./engine.js").Look} Look */

const proof = document.documentElement.dataset;
const [video, still] = [$("video"), $("still")];
const camera = new Camera(video);

/** @type {Engine} */
let engine;
/** Number of the source that is followed: what an older one still brings is passed over. */
let turn = 0;
/** @type {Look | null} What is shown now. */
let shown = null;
/** @type {string} Address of a video file that is open. */
let opened = "";

// ---- start

async function start() {
  proof.selfTest = "running";
  $("not-started").hidden = true;
  showRows($("card"), site.card);
  if (site.qr) showQr();
  showPill("Loading…", "warn");
  try {
    await checkCode();
    const [model, wasm] = await Promise.all(["model.bin", "runtime.bin"].map(async (name) => unpacked(await asset(name))));
    showPill("Checking…", "warn");
    engine = await Engine.open(model, wasm, site);
    const { stage, reason, told } = await engine.selfTest();
    if (stage) return fail(stage, reason);
    proof.selfTest = "passed";
    showPill("Proven", "good");
    $("proof").textContent = told;
    ready();
  } catch (error) {
    const known = /** @type {{stage?: string, message: string}} */ (error);
    fail(error instanceof FileError ? "files" : known.stage ?? "invoke", known.message);
  } finally {
    followUpdates();
  }
}

/** The QR code of the address at which the site is, for others to open. */
async function showQr() {
  const drawing = await asset("qr.svg").catch(() => null);
  if (!drawing) return; // it decides nothing, so the page goes on without it
  $("qr").querySelector("img").src = URL.createObjectURL(new Blob([/** @type {Uint8Array<ArrayBuffer>} */ (drawing)], { type: "image/svg+xml" }));
  $("qr").hidden = false;
}

/**
 * The self-test has failed at a stage.
 * @param {string} stage
 * @param {string} reason
 */
function fail(stage, reason) {
  proof.selfTest = stage;
  showPill(`Failed: ${stage}`, "bad");
  const goesOn = site.onFailure === "warn" && engine;
  const then = goesOn ? "Its labels may be wrong here." : "So it does not classify here.";
  showBanner("proof", `This model does not do here what it did where it was made (${stage}: ${reason}). ${then}`, { level: "bad" });
  $("proof").textContent = `The self-test failed at ${stage}: ${reason}`;
  if (goesOn) ready();
}

function ready() {
  for (const id of ["camera", "open"]) $(id).disabled = false;
  if (!Camera.offered) {
    $("camera").disabled = true;
    showBanner("camera", "This address may not use the camera: that takes HTTPS. Pictures and videos can be opened.");
  }
  showSettings(engine.labels, () => engine.restart(settings));
  countKept();
}

// ---- sources

/** Ends what was followed. */
function leave() {
  turn += 1;
  camera.stop();
  video.pause();
  video.removeAttribute("src");
  if (opened) URL.revokeObjectURL(opened);
  opened = "";
  shown = null;
  engine.restart(settings);
  still.hidden = true;
  video.hidden = false;
  showVerdict("", "", "label", "");
  showTop([]);
  showBanner("source", "");
  press("freeze", false);
  for (const id of ["freeze", "share", "wrong"]) $(id).disabled = true;
  for (const id of ["turn", "torch", "zoom-line"]) $(id).hidden = true;
  setText($("camera"), "Start camera");
}

async function startCamera() {
  if (Object.values(settings.signals).some((signal) => signal.includes("tone"))) allowSound();
  if (camera.track) {
    leave();
    $("view").classList.add("empty");
    return;
  }
  leave();
  await cameraRuns(() => camera.start());
}

/** @param {() => Promise<void>} begin */
async function cameraRuns(begin) {
  try {
    await begin();
  } catch (error) {
    leave();
    $("view").classList.add("empty");
    return showBanner("source", /** @type {Error} */ (error).message);
  }
  setText($("camera"), "Stop camera");
  $("view").classList.toggle("mirrored", camera.mirrored);
  const { torch, zoom } = camera.can;
  $("turn").hidden = !await Camera.several();
  $("torch").hidden = !torch;
  press("torch", false);
  $("zoom-line").hidden = !zoom;
  if (zoom) Object.assign($("zoom"), { min: zoom.min, max: zoom.max, step: zoom.step || 0.1, value: zoom.min });
  follow();
}

/** @param {Blob & {name?: string}} file */
async function openFile(file) {
  leave();
  try {
    if (file.type.startsWith("video/")) await openVideo(file);
    else await openPicture(file);
  } catch (error) {
    $("view").classList.add("empty");
    showBanner("source", `${file.name ?? "this file"} cannot be opened: ${/** @type {Error} */ (error).message}`);
  }
}

/** @param {Blob} file */
async function openVideo(file) {
  opened = URL.createObjectURL(file);
  video.src = opened;
  $("view").classList.remove("mirrored");
  await video.play();
  follow();
}

/** @param {Blob} file */
async function openPicture(file) {
  const look = await engine.lookAtPicture(file, still);
  still.hidden = false;
  video.hidden = true;
  show(look, still, [still.width, still.height]);
}

/** Classifies the frames of the video element, the newest when the one before is done, until another source is opened. */
async function follow() {
  const mine = ++turn;
  while (mine === turn) {
    await nextFrame();
    if (mine !== turn || video.readyState < 2 || video.paused) continue;
    try {
      const look = await engine.lookAtVideo(video);
      if (mine !== turn) return;
      show(look, video, [video.videoWidth, video.videoHeight]);
    } catch (error) {
      return showBanner("source", `A frame cannot be classified: ${/** @type {Error} */ (error).message}`, { level: "bad" });
    }
  }
}

/** @returns {Promise<unknown>} */
const nextFrame = () => new Promise((resume) => {
  if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(resume);
  else requestAnimationFrame(resume);
});

// ---- results

/**
 * @param {Look} look
 * @param {HTMLElement} picture
 * @param {[number, number]} size
 */
function show(look, picture, size) {
  shown = look;
  $("view").classList.remove("empty");
  $("share").disabled = $("wrong").disabled = false;
  $("freeze").disabled = picture === still; // not before the first result, or there would be none to keep
  showTop(look.top);
  showWindow(picture, size, engine.input);
  setText($("took"), told(look));
  const best = look.top[0];
  if (look.known === false) {
    const familiarity = look.familiarity === null ? "" : `, familiarity ${look.familiarity.toFixed(3)}`;
    showVerdict("unknown", "", "unknown", `Not like what the model was trained on${familiarity}. It is most like ${best.label}.`);
  } else if (look.label === null) {
    showVerdict("unknown", "", "unknown", `No label is sure enough. The best is ${best.label} with ${percent(best.score)}.`);
  } else {
    showVerdict(look.label, percent(look.score), "label", "");
  }
  for (const { kind, label } of look.events) {
    if (kind !== "entered") continue;
    setText($("announce"), label);
    signalLabel(settings.signals[label] ?? "", label, engine.labels.indexOf(label));
  }
  document.dispatchEvent(new CustomEvent("classified", { detail: look }));
}

/** When the frames of the last second were there, in milliseconds. @type {number[]} */
let seen = [];

/** How long a frame takes, and how many there are a second. @param {Look} look */
function told({ tookMs }) {
  const now = performance.now();
  seen = [...seen.filter((time) => now - time < 1000), now];
  return `${tookMs.toFixed(0)} ms a frame${still.hidden ? `, ${seen.length} frames a second` : ""}`;
}

/** What the picture shows, in a line of text. */
const said = () => (shown?.label ? `${shown.label} ${percent(shown.score)}` : "unknown");

/** The picture that is shown, as a JPEG of its full size. @returns {Promise<Blob>} */
function shownPicture() {
  let canvas = still;
  if (still.hidden) {
    canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    canvas.getContext("2d").drawImage(video, 0, 0);
  }
  return new Promise((resolve, reject) => canvas.toBlob(
    (/** @type {Blob | null} */ blob) => (blob ? resolve(blob) : reject(new Error("the picture is too large"))), "image/jpeg", 0.92));
}

async function share() {
  const text = `${said()} – ${site.name}`;
  const files = [new File([await shownPicture()], "picture.jpg", { type: "image/jpeg" })];
  try {
    if (navigator.canShare?.({ files })) await navigator.share({ text, files });
    else if (navigator.share) await navigator.share({ text, url: location.protocol === "file:" ? undefined : location.href });
    else save(files[0], "picture.jpg");
  } catch (error) {
    if (/** @type {Error} */ (error).name !== "AbortError") save(files[0], "picture.jpg");
  }
}

/** @param {Blob} blob @param {string} name */
function save(blob, name) {
  const address = URL.createObjectURL(blob);
  make("a", undefined, { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

// ---- "wrong? this is a ..."

/** @type {{jpeg: ArrayBuffer, said: string} | null} The picture as it was when the person objected. */
let objected = null;

async function object() {
  objected = { jpeg: await (await shownPicture()).arrayBuffer(), said: said() };
  $("correct-search").value = "";
  showChoices();
  $("correct").showModal();
}

function showChoices() {
  const text = $("correct-search").value.normalize("NFC").trim();
  const { found, more } = searched(engine.labels, text);
  const choices = [...found, ...(text && !engine.labels.includes(text) ? [text] : [])];
  $("correct-labels").replaceChildren(...choices.map((label) => {
    const item = make("li");
    const button = make("button", label, { type: "button", dir: "auto" });
    if (!engine.labels.includes(label)) button.append(" (new)");
    button.addEventListener("click", () => correct(label));
    item.append(button);
    return item;
  }));
  showMore($("correct-more"), more);
}

/** @param {string} label */
async function correct(label) {
  $("correct").close();
  try {
    if (objected) await keep({ label, time: Date.now(), ...objected });
    setText($("announce"), `kept as ${label}`);
  } catch (error) {
    showBanner("kept", `The picture cannot be kept: ${/** @type {Error} */ (error).message}`);
  }
  countKept();
}

async function countKept() {
  const corrections = await kept().catch(() => []);
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const { label } of corrections) counts.set(label, (counts.get(label) ?? 0) + 1);
  setText($("kept-count"), String(corrections.length));
  showRows($("kept-labels"), [...counts].map(([label, count]) => [label, String(count)]));
  $("export").disabled = $("forget").disabled = !corrections.length;
}

async function exportKept() {
  try {
    save(await exported(), `${site.name}-corrections.zip`);
  } catch (error) {
    showBanner("kept", `The pictures cannot be exported: ${/** @type {Error} */ (error).message}`);
  }
}

async function forget() {
  if (!confirm("Delete all pictures that you corrected?")) return;
  await forgetAll();
  countKept();
}

// ---- what a person does

/** @param {string} id @param {boolean} on */
const press = (id, on) => $(id).setAttribute("aria-pressed", String(on));
/** @param {string} id */
const pressed = (id) => $(id).getAttribute("aria-pressed") === "true";

/** @param {string} id @param {string} event @param {(event: any) => unknown} handle */
const on = (id, event, handle) => $(id).addEventListener(event, handle);

on("camera", "click", startCamera);
on("turn", "click", () => { turn += 1; cameraRuns(() => camera.turn()); });
on("torch", "click", () => {
  const light = !pressed("torch");
  camera.set({ torch: light }).then(() => press("torch", light), () => showBanner("source", "The camera does not switch its light."));
});
on("zoom", "input", () => camera.set({ zoom: Number($("zoom").value) }).catch(() => {}));
on("freeze", "click", () => {
  const freeze = !video.paused;
  if (freeze) video.pause();
  else video.play();
  press("freeze", freeze);
});
on("share", "click", share);
on("wrong", "click", object);
on("open", "click", () => $("file").click());
on("file", "change", () => { const [file] = $("file").files; if (file) openFile(file); $("file").value = ""; });
on("correct-search", "input", showChoices);
on("correct-cancel", "click", () => $("correct").close());
on("export", "click", exportKept);
on("forget", "click", forget);
camera.onlost = () => { leave(); $("view").classList.add("empty"); showBanner("source", "The camera is gone; start it again."); };

for (const event of ["dragenter", "dragover"]) {
  document.addEventListener(event, (drag) => { drag.preventDefault(); document.body.classList.add("dropping"); });
}
for (const event of ["dragleave", "drop"]) document.addEventListener(event, () => document.body.classList.remove("dropping"));
document.addEventListener("drop", (drop) => {
  drop.preventDefault();
  const file = drop.dataTransfer?.files[0];
  if (file && !$("open").disabled) openFile(file);
});
document.addEventListener("paste", (paste) => {
  const file = paste.clipboardData?.files[0];
  if (file && !$("open").disabled) openFile(file);
});

start();
