// A complete .tflite, ready to classify what a page has: `Classifier.look` of `edge_device`, in a browser.

import { Container } from "./container.js";
import { EngineError } from "./errors.js";
import { FAMILIAR, readDetector } from "./familiarity.js";
import { Flatbuffer } from "./flatbuffer.js";
import { frameOf } from "./frames.js";
import { preprocess } from "./preprocess.js";
import { checkSeal } from "./seal.js";

/** @typedef {import("./container.js").Card} Card */
/** @typedef {import("./familiarity.js").Detector} Detector */
/** @typedef {import("./flatbuffer.js").TensorInfo} TensorInfo */
/** @typedef {import("./frames.js").Picture} Picture */
/** @typedef {import("./litert.js").Runtime} Runtime */
/** @typedef {import("./litert.js").RuntimeModel} RuntimeModel */
/** @typedef {import("./seal.js").Seal} Seal */

/**
 * @typedef {object} Prediction
 * @property {string} label
 * @property {number} score 0..1.
 */

/**
 * @typedef {object} Result All that a frame gives.
 * @property {Prediction[]} predictions Best labels, best first. What the frame is, if it is known; else what it is most like.
 * @property {number | null} familiarity P-value, 0..1, that the frame is of the kind that the model was trained on; null of a model that cannot tell.
 * @property {boolean | null} known Whether the familiarity is as much as was asked for.
 * @property {Float32Array} scores A score per label, in the order of `labels`.
 */

/**
 * @typedef {object} Options
 * @property {Runtime} runtime What runs the model: `liteRtRuntime(await loadLiteRt(...))`.
 * @property {string} [key] Public key, hexadecimal, that must have signed the file.
 * @property {number} [familiar] Familiarity from which on a frame is known; 0.05 by default.
 * @property {boolean} [deep] Whether the page gives frames that `in8Bits` has made: without that a model of pictures with
 *   more than 8 bits is refused, since browsers decode every picture to 8.
 */

export class Classifier {
  #model;
  #info;
  #container;

  /**
   * See `Classifier.open`.
   * @param {Container} container
   * @param {Card} card
   * @param {Flatbuffer} info
   * @param {Detector | null} detector
   * @param {{model: RuntimeModel, runtime: string, seal: Seal | null, familiar: number}} rest
   */
  constructor(container, card, info, detector, { model, runtime, seal, familiar }) {
    this.#container = container;
    this.#info = info;
    this.#model = model;
    this.card = card;
    this.detector = detector;
    this.runtime = runtime;
    this.seal = seal;
    this.familiar = familiar;
  }

  /**
   * Opens a file that `edge-convert export` wrote.
   * @param {Uint8Array} bytes Its content.
   * @param {Options} options
   * @returns {Promise<Classifier>}
   * @throws {EngineError} It is no such file, damaged (`stage` is `digest`), not signed as asked for (`signature`), or not
   *   to be loaded.
   */
  static async open(bytes, { runtime, key = "", familiar = FAMILIAR, deep = false }) {
    const container = new Container(bytes);
    const seal = await checkSeal(bytes, key);
    if (!seal && container.has("golden.json")) throw new EngineError("its seal is missing, so its end is damaged; copy the file again", "digest");
    const { card } = container, info = new Flatbuffer(container.model), detector = readDetector(container);
    const wrong = contradiction(card, info);
    if (wrong) throw new EngineError(wrong);
    if (card.input.levels && !deep) {
      throw new EngineError(`it was trained on pictures of more than 8 bits (levels ${card.input.levels.join("..")}), which browsers decode to 8 bits; run it with edge-run, or give frames made by in8Bits`);
    }
    const model = await runtime.open(info.withOutputs(detector ? detector.tensors : []));
    return new Classifier(container, card, info, detector, { model, runtime: runtime.name, seal, familiar });
  }

  /** Labels in the order of the scores. */
  get labels() {
    return this.card.labels;
  }

  /** What the model expects of its input. */
  get input() {
    return this.card.input;
  }

  /** Frames inside the file, and what every stage must make of them: see `selfTest`. */
  get golden() {
    return this.#container.golden;
  }

  /** Whether any of its arithmetic at its input or output is in integers. */
  get quantized() {
    return this.#info.outputs[0].kind !== "float32";
  }

  /**
   * @param {Picture} source A picture file, a picture, a video, or a frame.
   * @param {{count?: number}} [options] How many labels, at most.
   * @returns {Promise<Result>}
   */
  async classify(source, { count = 5 } = {}) {
    return this.look(preprocess(await frameOf(source), this.input), count);
  }

  /**
   * @param {Uint8Array} pixels What `preprocess` gives.
   * @param {number} [count] How many labels, at most.
   * @returns {Promise<Result>}
   */
  async look(pixels, count = 5) {
    const input = this.#info.inputs[0].kind === "float32" ? Float32Array.from(pixels) : pixels;
    const [first, ...others] = await this.#model.run(input);
    const scores = dequantized(first, this.#info.outputs[0]);
    const familiarity = this.detector ? this.detector.familiarity(others.map((bytes, index) => this.#features(bytes, index))) : null;
    const known = familiarity === null ? null : familiarity >= this.familiar;
    return { predictions: top(scores, this.labels, count), familiarity, known, scores };
  }

  /** Frees the model; nothing can be classified after. */
  close() {
    this.#model.close();
  }

  /**
   * Of a layer: without zero point, summed over the picture.
   * @param {Uint8Array} bytes
   * @param {number} index
   */
  #features(bytes, index) {
    const { tensor, width } = /** @type {Detector} */ (this.detector).header.layers[index];
    const info = this.#info.tensor(tensor), values = numbers(bytes, info.kind);
    const sums = new Float64Array(width);
    for (let at = 0; at < values.length; at += width) {
      for (let channel = 0; channel < width; channel++) sums[channel] += values[at + channel] - info.zeroPoint;
    }
    return sums;
  }
}

/**
 * The `count` best labels, best first; equal scores in label order.
 * @param {Float32Array} scores
 * @param {readonly string[]} labels
 * @param {number} count
 * @returns {Prediction[]}
 */
export function top(scores, labels, count) {
  const order = Array.from(scores.keys()).sort((first, second) => scores[second] - scores[first] || first - second);
  return order.slice(0, count).map((index) => ({ label: labels[index], score: scores[index] }));
}

/**
 * In single precision, as on the device.
 * @param {Uint8Array} bytes
 * @param {TensorInfo} info
 */
function dequantized(bytes, { kind, scale, zeroPoint }) {
  return Float32Array.from(numbers(bytes, kind), (value) => Math.fround(value - zeroPoint) * (scale || 1));
}

/**
 * @param {Uint8Array} bytes
 * @param {TensorInfo["kind"]} kind
 * @returns {Float32Array | Uint8Array | Int8Array | Int16Array}
 */
function numbers(bytes, kind) {
  const kinds = { float32: Float32Array, uint8: Uint8Array, int8: Int8Array, int16: Int16Array };
  const Numbers = kinds[/** @type {keyof typeof kinds} */ (kind)];
  return new Numbers(/** @type {ArrayBuffer} */ (bytes.buffer), bytes.byteOffset, bytes.byteLength / Numbers.BYTES_PER_ELEMENT);
}

/**
 * What a file says of itself that cannot be true, or what no page can run.
 * @param {Card} card
 * @param {Flatbuffer} info
 * @returns {string} Empty if there is nothing wrong.
 */
function contradiction({ labels, input }, { inputs, outputs }) {
  const [taken] = inputs, [given] = outputs;
  const readable = ["float32", "uint8", "int8", "int16"];
  if (inputs.length !== 1 || outputs.length !== 1 || !["uint8", "float32"].includes(taken.kind) || !readable.includes(given.kind) || given.shape.length !== 2) {
    return "it is not an image classifier that takes uint8 or float32 pixels";
  }
  if (given.shape[1] !== labels.length) return `it contradicts itself: ${labels.length} labels, ${given.shape[1]} outputs`;
  if (String(taken.shape) !== String([1, input.height, input.width, 3])) return `it contradicts itself: its card says the input is ${input.width} x ${input.height}, the model takes ${taken.shape}`;
  return "";
}
