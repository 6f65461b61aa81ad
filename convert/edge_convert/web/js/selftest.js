// Whether a model does on this phone what it did where it was made: the golden vectors inside the file, replayed.
// As `replay` of `edge_device.inference.verify`.

import { decodePicture } from "./frames.js";
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
  const tolerance = classifier.runtime === madeWith.runtime ? tolerances.same_runtime : tolerances.other_runtime;
  /** @type {Map<Stage, string>} */
  const found = new Map();
  /** @type {number | null} */
  let largest = null;
  /** @param {Stage} stage @param {string} reason */
  const diverged = (stage, reason) => found.has(stage) || found.set(stage, reason);
  if (!canHash()) diverged("digest", "this page cannot check digests: it takes HTTPS, or a page of this machine");
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
  const stage = STAGES.find((one) => found.has(one)) ?? null;
  return { passed: !stage, stage, reason: (stage && found.get(stage)) ?? "", frames: frames.length, largestDifference: largest, tolerance };
}

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
