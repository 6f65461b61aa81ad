// Whether a frame is of the kind that the model was trained on: the detector inside a .tflite, as
// `edge_core.artifact.familiarity` has it.

import { isObject, parseJson } from "./container.js";
import { EngineError } from "./errors.js";

/** @typedef {import("./container.js").Container} Container */

/** Familiarity from which on a frame counts as known. */
export const FAMILIAR = 0.05;

const STRANGE = 2;
const STRANGE_WEIGHT = 2;
const MAX_BYTES = 400_000;
const NORM = 1e-12;
const FILE = "familiarity.bin";
const FORMAT = "edge-mobilenet familiarity 1\n";
const TAUGHT = /^familiarity\/(\d{1,6})\.bin$/;

/**
 * @typedef {object} Shape What the JSON tells of a distance.
 * @property {"residual" | "mahalanobis" | "nearest"} kind
 * @property {number} layer
 * @property {boolean} root
 * @property {number} directions
 * @property {number} centers
 * @property {number} scale
 * @property {number} median
 * @property {number} spread
 */

/**
 * @typedef {object} Header
 * @property {{tensor: number, width: number}[]} layers
 * @property {Shape[]} terms
 * @property {number[]} anomalies Rising.
 * @property {number[]} familiarities Falling.
 * @property {number} tail
 */

/** A distance of features, brought to unit length, from those of the training photos. */
class Term {
  /**
   * @param {Shape} shape
   * @param {number} width Number of the features.
   * @param {Int8Array} matrix Row by row.
   * @param {Float64Array} centers Row by row.
   */
  constructor(shape, width, matrix, centers) {
    this.shape = shape;
    this.width = width;
    this.matrix = matrix;
    this.centers = centers;
    /** @type {{squared: number, projected: Float64Array} | null} */
    this.mean = shape.kind === "residual" ? { squared: dot(centers, centers), projected: this.project(centers, shape.scale) } : null;
  }

  /**
   * The features in the directions of the matrix.
   * @param {Float64Array} values
   * @param {number} factor
   */
  project(values, factor) {
    const { matrix, width } = this;
    return Float64Array.from({ length: this.shape.directions }, (_, row) => {
      let sum = 0;
      for (let at = row * width, index = 0; index < width; at++, index++) sum += matrix[at] * values[index];
      return sum * factor;
    });
  }

  /**
   * @param {Float64Array} features
   * @returns {number} Infinite if they are all zero or not finite.
   */
  distance(features) {
    const values = this.shape.root ? features.map((value) => Math.sign(value) * Math.sqrt(Math.abs(value))) : features;
    const length = Math.sqrt(dot(values, values));
    if (!(length > NORM && length < Infinity)) return Infinity;
    const projected = this.project(values, this.shape.scale / length);
    if (this.shape.kind === "nearest") return Math.max(0, 1 - Math.max(...projected));
    if (this.mean) return this.residual(values, length, projected, this.mean);
    let least = Infinity;
    for (let at = 0; at < this.centers.length; at += projected.length) {
      least = Math.min(least, projected.reduce((sum, value, index) => sum + (value - this.centers[at + index]) ** 2, 0));
    }
    return Math.sqrt(least);
  }

  /**
   * @param {Float64Array} values
   * @param {number} length
   * @param {Float64Array} projected
   * @param {{squared: number, projected: Float64Array}} mean
   */
  residual(values, length, projected, mean) {
    const inside = projected.reduce((sum, value, index) => sum + (value - mean.projected[index]) ** 2, 0);
    return Math.sqrt(Math.max(0, 1 - (2 * dot(this.centers, values)) / length + mean.squared - inside));
  }

  /** @param {Float64Array} features */
  anomaly(features) {
    const beyond = (this.distance(features) - this.shape.median) / this.shape.spread;
    return beyond + STRANGE_WEIGHT * Math.max(0, beyond - STRANGE);
  }
}

/** What tells the known from the foreign. */
export class Detector {
  /**
   * @param {Header} header
   * @param {Term[]} terms
   * @param {Detector[]} [taught] Those of labels that were taught afterwards, on the first of this one's layers.
   */
  constructor(header, terms, taught = []) {
    this.header = header;
    this.terms = terms;
    this.taught = taught;
  }

  /** The tensors of the model that have to be among its outputs. */
  get tensors() {
    return this.header.layers.map((layer) => layer.tensor);
  }

  /**
   * @param {Float64Array[]} features Of each layer: without zero point, summed over the picture.
   * @returns {number} P-value, 0..1, that a picture with these features is of the known kind.
   */
  familiarity(features) {
    return Math.max(this.own(features), ...this.taught.map((one) => one.own(features.slice(0, 1))));
  }

  /** @param {Float64Array[]} features */
  own(features) {
    const { anomalies, familiarities, tail } = this.header;
    const anomaly = this.terms.reduce((sum, term) => sum + term.anomaly(features[term.shape.layer]), 0);
    if (!Number.isFinite(anomaly)) return 0;
    const beyond = anomaly - anomalies[anomalies.length - 1];
    if (beyond > 0) return familiarities[familiarities.length - 1] * Math.exp(-beyond / tail);
    return between(anomaly, anomalies, familiarities);
  }
}

/**
 * The detector inside a .tflite; null in one that has none.
 * @param {Container} container
 * @returns {Detector | null}
 */
export function readDetector(container) {
  const labels = container.names.map((name) => TAUGHT.exec(name)).filter((found) => found !== null);
  labels.sort((first, second) => Number(first[1]) - Number(second[1]));
  const names = [...(container.has(FILE) ? [FILE] : []), ...labels.map((found) => found[0])];
  const [first, ...others] = names.map((name) => parseDetector(container.read(name, MAX_BYTES)));
  if (!first) return null;
  const layer = first.header.layers[0];
  if (others.some(({ header: { layers } }) => layers.length !== 1 || layers[0].tensor !== layer.tensor || layers[0].width !== layer.width)) {
    throw new EngineError("its detectors look at different layers; export it again");
  }
  return new Detector(first.header, first.terms, others);
}

/**
 * @param {Uint8Array} bytes
 * @returns {Detector}
 */
function parseDetector(bytes) {
  const head = new TextDecoder().decode(bytes.subarray(0, FORMAT.length));
  const end = bytes.indexOf(10, FORMAT.length);
  if (head !== FORMAT || end < 0) throw damaged("or of a newer edge-mobilenet");
  const header = /** @type {Header} */ (parseJson(new TextDecoder().decode(bytes.subarray(FORMAT.length, end)), FILE));
  const wrong = fault(header);
  if (wrong) throw damaged(wrong);
  return new Detector(header, readTerms(header, bytes.subarray(end + 1)));
}

/**
 * What no detector has.
 * @param {Header} header
 * @returns {string} Empty if there is nothing wrong.
 */
function fault({ layers, terms, anomalies, familiarities, tail }) {
  if (!Array.isArray(layers) || !Array.isArray(terms) || !layers.every(isObject) || !terms.every(isObject)) return "without layers or distances";
  if (!(layers.length >= 1 && layers.length <= 8 && terms.length >= 1 && terms.length <= 16)) return `${layers.length} layers and ${terms.length} distances`;
  if (!layers.every(({ tensor, width }) => isCount(tensor, 0, 2 ** 31) && isCount(width, 1, MAX_BYTES))) return "a layer with a negative or far too large number";
  for (const { kind, layer, root, directions, centers, scale, median, spread } of terms) {
    if (!["residual", "mahalanobis", "nearest"].includes(kind) || !isCount(layer, 0, layers.length - 1)) return `a distance of kind ${kind} in layer ${layer}`;
    if (!isCount(directions, kind === "nearest" ? 1 : 0, MAX_BYTES) || !isCount(centers, 1, MAX_BYTES) || !(spread > 0)) return "a distance without extent";
    if (typeof root !== "boolean" || ![scale, median, spread].every(Number.isFinite)) return "a distance with a number that is none";
  }
  if (!isOrdered(anomalies, 1) || !isOrdered(familiarities, -1) || anomalies.length !== familiarities.length || anomalies.length < 2) return "calibration points that are not in order";
  return familiarities[familiarities.length - 1] > 0 && familiarities[0] <= 1 && tail > 0 ? "" : "a familiarity that is not between 0 and 1";
}

/**
 * @param {unknown} value
 * @param {number} least
 * @param {number} most
 */
function isCount(value, least, most) {
  return Number.isInteger(value) && Number(value) >= least && Number(value) <= most;
}

/**
 * @param {unknown} values
 * @param {number} direction
 */
function isOrdered(values, direction) {
  return Array.isArray(values) && values.every((value, index) => Number.isFinite(value) && (!index || direction * (value - values[index - 1]) >= 0));
}

/**
 * @param {Header} header
 * @param {Uint8Array} arrays
 */
function readTerms(header, arrays) {
  const view = new DataView(arrays.buffer, arrays.byteOffset, arrays.byteLength);
  let start = 0;
  const terms = header.terms.map((shape) => {
    const { width } = header.layers[shape.layer], { kind, directions, centers } = shape;
    const count = { residual: width, mahalanobis: centers * directions, nearest: 0 }[kind];
    const middle = start + directions * width, end = middle + 4 * count;
    if (end > arrays.length) throw damaged("it is cut off");
    const matrix = Int8Array.from(arrays.subarray(start, middle));
    const values = Float64Array.from({ length: count }, (_, index) => view.getFloat32(middle + 4 * index, true));
    if (!values.every(Number.isFinite)) throw damaged("a center that is not finite");
    start = end;
    return new Term(shape, width, matrix, values);
  });
  if (start !== arrays.length) throw damaged(`${arrays.length - start} bytes are left over`);
  return terms;
}

/**
 * Linear interpolation, up to the last of the rising places.
 * @param {number} place
 * @param {number[]} places
 * @param {number[]} values
 */
function between(place, places, values) {
  const after = places.findIndex((one) => one > place);
  if (after <= 0) return values[after < 0 ? places.length - 1 : 0];
  const start = places[after - 1], end = places[after];
  return values[after - 1] + ((values[after] - values[after - 1]) * (place - start)) / (end - start);
}

/**
 * @param {Float64Array} first
 * @param {Float64Array} second
 */
function dot(first, second) {
  let sum = 0;
  for (let index = 0; index < first.length; index++) sum += first[index] * second[index];
  return sum;
}

/** @param {string} what */
function damaged(what) {
  return new EngineError(`its ${FILE} is damaged: ${what}; export it again`);
}
