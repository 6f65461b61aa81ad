// Whether a model does on this phone what it did where it was made: the golden vectors inside the file, replayed.
// As `replay` of `edge_device.inference.verify`.

import { decodePicture, rgbOfYuv } from "./frames.js";
import { preprocess } from "./preprocess.js";
import { canHash, sha256 } from "./seal.js";

/** @typedef {import("./classifier.js").Classifier} Classifier */
/** @typedef {import("./errors.js").Stage} Stage */
/** @typedef {import("./preprocess.js").Frame} Frame */

/**
 * @typedef {object} SelfTest
 * @property {boolean} passed
 * @property {Stage | null} stage The first stage that diverged on any frame.
 * @property {string} reason What diverged; empty where nothing did.
 * @property {number} frames
 * @property {number | null} largestDifference Of a score, 0..1; null if none could be compared.
 * @property {number} tolerance Up to which it is right.
 */

/** @type {readonly Stage[]} */
const STAGES = ["digest", "signature", "decode", "preprocess", "invoke"];

/**
 * @param {Classifier} classifier
 * @param {(file: Blob) => Promise<Frame>} [decode] The decoder that pictures are given to.
 * @returns {Promise<SelfTest>}
 */
export async function selfTest(classifier, decode = decodePicture) {
  const { frames, tolerance: tolerances, madeWith } = classifier.golden;
  const tolerance = toleranceOf(classifier, tolerances, madeWith);
  /** @type {Map<Stage, string>} */
  const found = new Map();
  /** @type {number | null} */
  let largest = null;
  /** @param {Stage} stage @param {string} reason */
  const diverged = (stage, reason) => found.has(stage) || found.set(stage, reason);
  if (!canHash()) diverged("digest", "this page cannot check digests: it takes HTTPS, or a page of this machine");
  else if (!await hasColorsOfVideo()) diverged("decode", "frames of a camera get other colors in this browser than with OpenCV");
  for (const [index, golden] of frames.entries()) {
    const name = `golden/${index}.jpg`;
    let frame;
    try {
      frame = await decode(new Blob([/** @type {Uint8Array<ArrayBuffer>} */ (golden.jpeg)], { type: "image/jpeg" }));
    } catch (error) {
      diverged("decode", `${name}: ${error instanceof Error ? error.message : error}`);
      continue;
    }
    const pixels = preprocess(frame, classifier.input);
    if (canHash()) {
      if (await sha256(rgbOf(frame)) !== golden.decodedSha256) diverged("decode", `${name}, ${frame.width}x${frame.height}, has other levels in this browser than with OpenCV ${madeWith.opencv}`);
      if (await sha256(pixels) !== golden.pixelsSha256) diverged("preprocess", `the model's pixels of ${name} are others here than with OpenCV ${madeWith.opencv}`);
    }
    const { scores } = await classifier.look(pixels);
    if (scores.length !== golden.scores.length) {
      diverged("invoke", `${scores.length} scores of ${name}, ${golden.scores.length} were recorded`);
      continue;
    }
    const worst = worstOf(scores, golden.scores);
    largest = worst.difference <= (largest ?? 0) ? largest ?? 0 : worst.difference;
    if (!(worst.difference <= tolerance)) {
      diverged("invoke", `${JSON.stringify(classifier.labels[worst.index])} of ${name} scores ${scores[worst.index]} with ${classifier.runtime}, ${golden.scores[worst.index]} with ${madeWith.runtime}`);
    }
  }
  // Last, so that a golden frame, which can be looked at, is named where one diverges.
  if (canHash() && !await hasPixelsOfPython()) diverged("preprocess", "frames of some sizes get other pixels in this browser than with OpenCV");
  const stage = STAGES.find((one) => found.has(one)) ?? null;
  return { passed: !stage, stage, reason: (stage && found.get(stage)) ?? "", frames: frames.length, largestDifference: largest, tolerance };
}

/** Whether planes of a camera become R, G, B as by OpenCV: golden frames are pictures, and do not come that way. */
export async function hasColorsOfVideo() {
  const side = 512, chroma = side / 2, bytes = noise(1.5 * side * side);
  const planes = [{ offset: 0, stride: side }, { offset: side * side, stride: chroma }, { offset: 1.25 * side * side, stride: chroma }];
  for (const [full, wanted] of VIDEO_COLORS) {
    if (await sha256(rgbOfYuv({ bytes, planes, width: side - 1, height: side - 1, full }).data) !== wanted) return false;
  }
  return true;
}

/** @type {readonly [boolean, string][]} Whether of full range, and SHA-256 of the R, G, B, 255 of what is made up above. */
const VIDEO_COLORS = [
  [false, "8900f6a61f84a9d1bd82d56bc94cc43c632c433c6c79664a38fe996e17cdbc44"],
  [true, "4730a23cb205d0f2f820b734cf71ee5690455a0570ac86b944a0a5b31b4b46f3"],
];

/**
 * Whether every rule of `preprocess` is kept, also those that no golden frame of this model meets: a square input that is
 * cut out of the middle never halves one side alone (R5), a camera of another shape may yet.
 */
export async function hasPixelsOfPython() {
  const pixels = MADE_UP_FRAMES.flatMap(([frame, spec]) => Array.from(preprocess(frame, spec)));
  return await sha256(Uint8Array.from(pixels)) === PIXELS_OF_PYTHON;
}

/**
 * Frames of noise, and inputs that make pixels of them: together they meet each rule where breaking it shows.
 * @type {readonly [Frame, import("./preprocess.js").InputSpec][]}
 */
export const MADE_UP_FRAMES = /** @type {const} */ ([
  [19, 22, 4, 5, "stretch"], // both sides are halved, what is left over is cut off
  [3, 2, 256, 3, "stretch"], // taps in the middle between two 256ths
  [49, 5, 256, 2, "stretch"], // a scale that one rounding would make another; halved down alone
  [61, 14, 5, 4, "center"], // a window that is no whole number of pixels wide
  [90, 67, 32, 32, "pad"], // one that is none high
  [40, 3, 3, 3, "pad"], // halved across alone; one pixel high
  [1, 15, 3, 3, "center"],
  [15, 1, 3, 3, "center"],
]).map(([width, height, wide, high, crop], index) => [
  { width, height, data: noise(4 * width * height) },
  { width: wide, height: high, crop, color_order: index % 2 ? "BGR" : "RGB", resampling: "halve-linear-exact" },
]);

/** SHA-256 of all their pixels, one frame after the other, as Python makes them with OpenCV. */
export const PIXELS_OF_PYTHON = "eac5bafa2cfd2fcd0b1328f213262c1192c47826442c4186c287733d0ea7ff5a";

/** @param {number} length */
function noise(length) {
  let state = 1; // of Marsaglia's xorshift: a linear generator repeats itself at the strides of planes
  return Uint8Array.from({ length }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 24;
  });
}

/**
 * A score may differ less than on any other runtime where LiteRT made the golden vectors: LiteRT.js has its kernels, and
 * WebAssembly computes alike on every phone.
 * @param {Classifier} classifier
 * @param {{same_runtime: number, other_runtime: number}} tolerances
 * @param {Record<string, string>} madeWith
 */
function toleranceOf({ quantized, runtime }, { same_runtime: same, other_runtime: other }, madeWith) {
  if (runtime === madeWith.runtime) return same;
  if (!madeWith.runtime?.startsWith("ai-edge-litert ")) return other;
  return quantized && madeWith.machine === "x86_64" ? Math.min(same, SAME_KERNELS) : same;
}

/**
 * Two steps of a score in 8 bits. Scores were the same on 200 photos of each of five int8 files, and on 60 of each of two
 * uint8 files of 2018. These were up to 9 steps apart between x86-64 and Arm, so files made there have what they say.
 */
const SAME_KERNELS = 2 / 255;

/**
 * The score that differs most; one that is no number counts as the most.
 * @param {Float32Array} scores
 * @param {number[]} recorded
 */
function worstOf(scores, recorded) {
  let index = 0, difference = 0;
  for (let at = 0; at < scores.length; at++) {
    const apart = Math.abs(scores[at] - Math.fround(recorded[at]));
    if (!(apart <= difference)) [index, difference] = [at, apart];
    if (Number.isNaN(apart)) break;
  }
  return { index, difference };
}

/**
 * Three channels, R, G, B.
 * @param {Frame} frame
 */
function rgbOf({ width, height, data }) {
  const pixels = width * height, step = data.length / pixels, rgb = new Uint8Array(3 * pixels);
  for (let pixel = 0; pixel < pixels; pixel++) {
    for (let channel = 0; channel < 3; channel++) rgb[3 * pixel + channel] = data[step * pixel + channel];
  }
  return rgb;
}
