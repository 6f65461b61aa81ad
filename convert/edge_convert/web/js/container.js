// A complete .tflite taken apart: the flatbuffer, and the ZIP behind it with the card, the labels and all else that a
// runner has to know. As `edge_core.artifact.container`; what it refuses, this refuses.

import { EngineError } from "./errors.js";

/** @typedef {import("./preprocess.js").InputSpec} InputSpec */

/**
 * @typedef {object} Card What is known of a model; the fields that classifying takes, and `fields` with all of them.
 * @property {readonly string[]} labels In the order of the model's outputs.
 * @property {InputSpec} input
 * @property {Record<string, unknown>} fields
 */

/**
 * @typedef {object} GoldenFrame
 * @property {Uint8Array} jpeg
 * @property {string} decodedSha256 Of the decoded picture, R, G, B.
 * @property {string} pixelsSha256 Of the model's pixels.
 * @property {number[]} scores
 */

/**
 * @typedef {object} GoldenVectors
 * @property {GoldenFrame[]} frames
 * @property {{same_runtime: number, other_runtime: number}} tolerance
 * @property {Record<string, string>} madeWith
 */

const MAX_TEXT_BYTES = 4 << 20;
const MAX_MODEL_BYTES = 64 << 20;
const MAX_SIDE = 4096;
const SCHEMA = "1";

/** Where Python's `splitlines` ends a line. */
const LINE_END = /\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/;

/** What UTF-8 cannot hold. */
const LONE_SURROGATE = /[\ud800-\udfff]/u;

/** The operator that an Edge TPU computes. */
const EDGETPU_OPERATOR = new TextEncoder().encode("edgetpu-custom-op");

/** How a file in a ZIP begins. */
const ENTRY = new Uint8Array([0x50, 0x4b, 3, 4, 20, 0]);

/** The archive behind a model. */
export class Container {
  /** @type {Map<string, Entry>} */
  #entries;

  /**
   * @param {Uint8Array} bytes A complete .tflite.
   * @throws {EngineError} It is none, or its archive is damaged.
   */
  constructor(bytes) {
    if (String.fromCharCode(...bytes.subarray(4, 8)) !== "TFL3") throw new EngineError("not a .tflite model");
    this.bytes = bytes;
    this.#entries = readDirectory(bytes);
  }

  /** @param {string} name */
  has(name) {
    return this.#entries.has(name);
  }

  /** Names of the files in the archive. */
  get names() {
    return [...this.#entries.keys()];
  }

  /**
   * The content of a file in the archive.
   * @param {string} name
   * @param {number} [limit] More bytes than this are refused.
   * @returns {Uint8Array}
   */
  read(name, limit = MAX_TEXT_BYTES) {
    const entry = this.#entries.get(name);
    if (!entry) throw new EngineError(`it has no ${name}; export it with edge-convert`);
    if (entry.size > limit || entry.method !== 0) throw damaged(`${name} is compressed, or larger than ${limit} bytes`);
    const view = viewOf(this.bytes);
    const { offset } = entry;
    if (offset + 30 > this.bytes.length || view.getUint32(offset, true) !== 0x04034b50) throw damaged(`${name} is not where it should be`);
    const nameEnd = offset + 30 + view.getUint16(offset + 26, true);
    const named = new TextDecoder().decode(this.bytes.subarray(offset + 30, nameEnd));
    if (named !== name) throw damaged(`${name} is called otherwise where it is`);
    const start = nameEnd + view.getUint16(offset + 28, true);
    if (start + entry.size > this.bytes.length) throw damaged(`${name} is cut off`);
    const content = this.bytes.subarray(start, start + entry.size);
    if (crc32(content) !== entry.crc) throw damaged(`${name} has another checksum`);
    return content;
  }

  /**
   * @param {string} name
   * @returns {string}
   */
  text(name) {
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(this.read(name));
    } catch (error) {
      if (error instanceof EngineError) throw error;
      throw damaged(`${name} is not UTF-8`);
    }
  }

  /** The flatbuffer that a CPU runs: of a file compiled for an Edge TPU the one that it carries for that. */
  get model() {
    const first = Math.min(...Array.from(this.#entries.values(), (entry) => entry.offset));
    const model = this.bytes.subarray(0, first);
    if (!includes(model, EDGETPU_OPERATOR)) return model;
    if (this.has("cpu.tflite")) return this.read("cpu.tflite", MAX_MODEL_BYTES);
    throw new EngineError("it is compiled for an Edge TPU and has no cpu.tflite inside; give the file that it was compiled from");
  }

  /**
   * @returns {Card}
   * @throws {EngineError} It has none, of another version, or one that contradicts its labels.
   */
  get card() {
    const card = parseCard(this.text("card.json"));
    const lines = this.text("labels.txt").normalize("NFC").split(LINE_END);
    if (lines.at(-1) === "") lines.pop();
    if (lines.length !== card.labels.length || lines.some((line, index) => line !== card.labels[index])) {
      throw new EngineError("it contradicts itself: its labels.txt and its card.json name different labels");
    }
    return card;
  }

  /**
   * Frames and what every stage must make of them.
   * @returns {GoldenVectors}
   */
  get golden() {
    const table = parseJson(this.text("golden.json"), "golden.json");
    const { frames, tolerance, made_with: madeWith } = table;
    if (!isOfSchema(table)) throw new EngineError(`its golden vectors have schema ${table.schema}, this version reads ${SCHEMA}; upgrade edge-mobilenet`);
    if (!Array.isArray(frames) || !frames.length || !isObject(tolerance) || !isObject(madeWith)) throw damaged("golden.json lacks a field");
    return {
      frames: frames.map((frame, index) => this.#goldenFrame(frame, index)),
      tolerance: { same_runtime: Number(tolerance.same_runtime), other_runtime: Number(tolerance.other_runtime) },
      madeWith: /** @type {Record<string, string>} */ (madeWith),
    };
  }

  /**
   * @param {unknown} frame
   * @param {number} index
   * @returns {GoldenFrame}
   */
  #goldenFrame(frame, index) {
    if (!isObject(frame) || !Array.isArray(frame.scores) || !frame.scores.every(Number.isFinite)) throw damaged(`frame ${index} of golden.json has no scores`);
    return {
      jpeg: this.read(`golden/${index}.jpg`),
      decodedSha256: String(frame.decoded_sha256),
      pixelsSha256: String(frame.pixels_sha256),
      scores: frame.scores,
    };
  }
}

/**
 * @typedef {object} Entry
 * @property {number} offset Of its header.
 * @property {number} size
 * @property {number} method
 * @property {number} crc
 */

/**
 * @param {Uint8Array} bytes
 * @returns {Map<string, Entry>}
 */
function readDirectory(bytes) {
  const view = viewOf(bytes);
  const end = findEnd(bytes, view);
  const count = view.getUint16(end + 10, true), size = view.getUint32(end + 12, true), offset = view.getUint32(end + 16, true);
  const shift = end - size - offset; // of an archive that was written before something was put in front of it
  if (shift < 0) throw damaged("its archive is cut off");
  const entries = new Map();
  let place = end - size;
  for (let index = 0; index < count; index++) {
    if (place + 46 > end || view.getUint32(place, true) !== 0x02014b50) throw damaged("the directory of its archive is cut off");
    const [named, extra, comment] = [28, 30, 32].map((at) => view.getUint16(place + at, true));
    const name = new TextDecoder().decode(bytes.subarray(place + 46, place + 46 + named));
    const [packed, size] = [20, 24].map((at) => view.getUint32(place + at, true));
    const encrypted = view.getUint16(place + 8, true) & 1;
    if (encrypted || (packed !== size && view.getUint16(place + 10, true) === 0)) throw damaged(`${name} is encrypted or has two sizes`);
    entries.set(name, { offset: view.getUint32(place + 42, true) + shift, size, method: view.getUint16(place + 10, true), crc: view.getUint32(place + 16, true) });
    place += 46 + named + extra + comment;
  }
  if (place !== end || !entries.size) throw damaged("the directory of its archive has another size");
  return entries;
}

/**
 * Where the end of the archive's directory begins: 22 bytes, and a comment that ends with the file.
 * @param {Uint8Array} bytes
 * @param {DataView} view
 */
function findEnd(bytes, view) {
  for (let place = view.byteLength - 22; place >= Math.max(0, view.byteLength - 22 - 0xffff); place--) {
    if (view.getUint32(place, true) === 0x06054b50 && place + 22 + view.getUint16(place + 20, true) === view.byteLength) return place;
  }
  // Entries without a directory behind them: as an interrupted copy leaves a file.
  if (includes(bytes, ENTRY)) throw new EngineError("it is incomplete, its end is missing; copy the file again");
  throw new EngineError("it has no model card, so its labels and its input are unknown; copy it again if the copy was interrupted, or export it with edge-convert");
}

/**
 * @param {string} text
 * @returns {Card}
 */
function parseCard(text) {
  const fields = parseJson(text, "card.json");
  if (!isOfSchema(fields)) throw new EngineError(`its model card has schema ${fields.schema}, this version reads ${SCHEMA}; upgrade edge-mobilenet`);
  return { labels: checkedLabels(fields.labels), input: checkedInput(fields.input), fields };
}

/**
 * @param {unknown} labels
 * @returns {readonly string[]}
 */
function checkedLabels(labels) {
  if (!Array.isArray(labels) || labels.length < 2) throw damaged("a classifier needs two labels or more");
  for (const label of labels) {
    if (typeof label !== "string" || !label.trim() || LINE_END.test(label) || LONE_SURROGATE.test(label)) throw damaged(`a label is one line of text, not ${JSON.stringify(label)}`);
  }
  const composed = labels.map((label) => label.normalize("NFC"));
  if (new Set(composed).size !== composed.length) throw damaged("two of its labels are the same");
  return composed;
}

/**
 * @param {unknown} input
 * @returns {InputSpec}
 */
function checkedInput(input) {
  if (!isObject(input)) throw damaged("its model card has no input");
  const { width, height, crop, color_order, resampling, levels = null, ...unknown } = input;
  for (const side of [width, height]) {
    if (!Number.isInteger(side) || Number(side) < 1 || Number(side) > MAX_SIDE) throw damaged(`input sides are whole numbers from 1 to ${MAX_SIDE}, not ${side}`);
  }
  const known = ["center", "stretch", "pad"].includes(String(crop)) && ["RGB", "BGR"].includes(String(color_order)) && resampling === "halve-linear-exact";
  if (!known || Object.keys(unknown).length) throw damaged(`its input ${JSON.stringify(input)} is not one that this version knows`);
  if (levels !== null && !(Array.isArray(levels) && levels.length === 2 && -1e9 < levels[0] && levels[0] < levels[1] && levels[1] < 1e9)) {
    throw damaged("its input levels are not two numbers, the lower one first");
  }
  return /** @type {InputSpec} */ ({ ...input, levels });
}

/**
 * An object of JSON, which Python may have written: NaN and Infinity, which JSON has not, are null.
 * @param {string} text
 * @param {string} name
 * @returns {Record<string, unknown>}
 */
export function parseJson(text, name) {
  try {
    const object = JSON.parse(text.replace(/"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/g, (found) => (found[0] === '"' ? found : "null")));
    if (isObject(object)) return object;
  } catch {
    // told below
  }
  throw damaged(`${name} is not a JSON object`);
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, unknown>}
 */
export function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** @param {Record<string, unknown>} fields */
function isOfSchema(fields) {
  return String(fields.schema).split(".")[0] === SCHEMA;
}

/**
 * @param {Uint8Array} bytes
 * @param {Uint8Array} wanted
 */
function includes(bytes, wanted) {
  for (let at = bytes.indexOf(wanted[0]); at >= 0; at = bytes.indexOf(wanted[0], at + 1)) {
    if (wanted.every((byte, index) => bytes[at + index] === byte)) return true;
  }
  return false;
}

/** @param {Uint8Array} bytes */
function viewOf(bytes) {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** @param {string} what */
function damaged(what) {
  return new EngineError(`it has damaged contents: ${what}; export or copy it again`);
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/**
 * The checksum of ZIP.
 * @param {Uint8Array} bytes
 */
export function crc32(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = (value >>> 8) ^ CRC_TABLE[(value ^ byte) & 0xff];
  return (value ^ 0xffffffff) >>> 0;
}
