// Pictures of a webcam or a phone's camera: while a class is held down, two a second go into it.
import { attempt, element, tell } from "./studio.js";
import { uploadBlob } from "./upload.js";

const PERIOD_MS = 500;
const QUALITY = 0.92;

const box = document.getElementById("camera-dialog");
const video = document.getElementById("camera-video");
const said = document.getElementById("camera-said");
let stream = null;

/** Opens the camera; where a browser gives none, as on a phone without https, `otherwise` is called. */
export async function openCamera(classes, otherwise) {
  if (!navigator.mediaDevices?.getUserMedia) return otherwise();
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 }, facingMode: "environment" } });
  } catch (error) {
    tell(`The camera cannot be used: ${error.message}`, { bad: true });
    return undefined;
  }
  video.srcObject = stream;
  said.textContent = "";
  document.getElementById("camera-classes").replaceChildren(...classes.map(holdButton));
  return box.showModal();
}

document.getElementById("camera-close").addEventListener("click", () => box.close());
box.addEventListener("close", () => { stream?.getTracks().forEach((track) => track.stop()); stream = null; });

function holdButton(label) {
  let timer = null;
  let count = 0;
  const button = element("button", { type: "button" }, label);
  const take = () => attempt(async () => {
    const blob = await snapshot();
    if (!blob) return;
    await uploadBlob(blob, `camera-${new Date().toISOString().replaceAll(/[:.]/g, "-")}.jpg`, label);
    count += 1;
    said.textContent = `${count} pictures of ${label}`;
  });
  const start = () => { if (!timer) { take(); timer = setInterval(take, PERIOD_MS); button.classList.add("held"); } };
  const stop = () => { clearInterval(timer); timer = null; button.classList.remove("held"); };
  button.addEventListener("pointerdown", (event) => { button.setPointerCapture(event.pointerId); start(); });
  for (const kind of ["pointerup", "pointercancel", "lostpointercapture", "blur"]) button.addEventListener(kind, stop);
  button.addEventListener("keydown", (event) => { if ([" ", "Enter"].includes(event.key)) { event.preventDefault(); start(); } });
  button.addEventListener("keyup", stop);
  button.addEventListener("contextmenu", (event) => event.preventDefault());
  box.addEventListener("close", stop);
  return button;
}

function snapshot() {
  if (!video.videoWidth) return null;
  const canvas = element("canvas", { width: video.videoWidth, height: video.videoHeight });
  canvas.getContext("2d").drawImage(video, 0, 0);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
}
