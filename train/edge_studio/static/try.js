// The page that tries a file: pictures, the frames of a video or a camera, one after the other, and "this is a ...".
import { api, attempt, element, segment, send, tell } from "./studio.js";

const QUALITY = 0.95;
const MOST_SIDE = 1600;

const byId = (id) => document.getElementById(id);
const [stage, video, verdict, scores, took] = ["stage", "video", "verdict", "scores", "took"].map(byId);
let shown = null; // the picture that the page shows, as it was sent
let camera = null;
let running = 0;

async function look(blob, from) {
  const file = byId("file").value;
  if (!file) { tell("Export a file first.", { bad: true }); return; }
  const told = await send(`${api("try")}?file=${segment(file)}${byId("search").checked ? "&search=1" : ""}`, blob);
  shown = { blob, from };
  const bitmap = await createImageBitmap(blob);
  byId("tried").hidden = false;
  [stage.width, stage.height] = [bitmap.width, bitmap.height];
  const drawing = stage.getContext("2d");
  drawing.drawImage(bitmap, 0, 0);
  const [left, top, width, height] = told.box;
  if (width < 1 || height < 1) {
    drawing.lineWidth = Math.max(3, bitmap.width / 160);
    drawing.strokeStyle = "#ffd60a";
    drawing.strokeRect(left * bitmap.width, top * bitmap.height, width * bitmap.width, height * bitmap.height);
  }
  const [best, score] = told.top[0];
  verdict.dataset.known = told.known;
  verdict.textContent = told.known === false ? `unknown, most like ${best}` : `${best}, ${percent(score)}`;
  stage.setAttribute("aria-label", verdict.textContent);
  scores.replaceChildren(...told.top.map(([label, share]) => element("div", { className: "score" },
    element("span", {}, label), element("progress", { max: 1, value: share, aria: { label } }), element("span", {}, percent(share)))));
  took.textContent = `${told.familiarity === null ? "This file cannot tell what is foreign to it." : `Familiarity ${told.familiarity.toFixed(3)}.`} `
    + `${told.width} × ${told.height} pixels; preprocessing ${told.preprocess_ms.toFixed(1)} ms, inference ${told.invoke_ms.toFixed(1)} ms.`;
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;

function grab() {
  const scale = Math.min(1, MOST_SIDE / Math.max(video.videoWidth, video.videoHeight));
  const canvas = element("canvas", { width: video.videoWidth * scale, height: video.videoHeight * scale });
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
}

/** Tries frames of the video element one after the other until it ends or is stopped. */
async function follow(from) {
  const mine = ++running;
  byId("stop").hidden = false;
  await video.play();
  while (mine === running && !video.ended) {
    const began = performance.now();
    if (video.videoWidth) await look(await grab(), from);
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, 200 - (performance.now() - began))));
  }
  if (mine === running) halt();
}

function halt() {
  running += 1;
  camera?.getTracks().forEach((track) => track.stop());
  camera = null;
  video.pause();
  video.srcObject = null;
  byId("stop").hidden = true;
}

async function take(file) {
  halt();
  if (file.type.startsWith("video/")) {
    video.src = URL.createObjectURL(file);
    await follow(file.name);
  } else await look(file, file.name);
}

byId("media").addEventListener("change", (event) => { const [file] = event.target.files; if (file) attempt(() => take(file)); event.target.value = ""; });
byId("stop").addEventListener("click", halt);
byId("camera").addEventListener("click", () => attempt(async () => {
  halt();
  if (!navigator.mediaDevices?.getUserMedia) throw new Error("This browser gives a camera to https:// and to this machine alone; choose a picture instead.");
  camera = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 }, facingMode: "environment" } });
  video.srcObject = camera;
  await follow("camera");
}));
byId("file").addEventListener("change", () => { if (shown && !camera) attempt(() => look(shown.blob, shown.from)); });
byId("search").addEventListener("change", () => { if (shown && !camera) attempt(() => look(shown.blob, shown.from)); });

byId("wrong").addEventListener("click", (event) => {
  const label = event.target.closest("button")?.dataset.label;
  if (!label || !shown) return;
  const { blob, from } = shown;
  attempt(async () => {
    const { path } = await send(`${api("try/keep")}?label=${segment(label)}&camera=${segment(from)}&file=${segment(byId("file").value)}`, blob);
    tell(path ? `It is among the photos as ${path}.` : "It was among the photos already.");
  });
});

document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dragged"); });
document.addEventListener("dragleave", () => document.body.classList.remove("dragged"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragged");
  const [file] = event.dataTransfer.files;
  if (file) attempt(() => take(file));
});
document.addEventListener("paste", (event) => { const [file] = event.clipboardData.files; if (file) attempt(() => take(file)); });
