// As much of a TFLite flatbuffer as the runtimes of browsers do not tell: the quantization of inputs and outputs; and
// further outputs, added in memory. As `edge_core.artifact.flatbuffer` and `model_outputs`; fields by their numbers in
// TensorFlow Lite's schema.fbs.

import { EngineError } from "./errors.js";

const MODEL_SUBGRAPHS = 2, MODEL_SIGNATURES = 7;
const GRAPH_TENSORS = 0, GRAPH_INPUTS = 1, GRAPH_OUTPUTS = 2;
const TENSOR_SHAPE = 0, TENSOR_TYPE = 1, TENSOR_QUANTIZATION = 4;
const QUANTIZATION_SCALE = 2, QUANTIZATION_ZERO_POINT = 3;

/** @typedef {"float32" | "int32" | "uint8" | "int64" | "int16" | "int8" | "other"} Kind */

/** @type {Record<number, Kind>} */
const KINDS = { 0: "float32", 2: "int32", 3: "uint8", 4: "int64", 7: "int16", 9: "int8" };

/**
 * @typedef {object} TensorInfo
 * @property {readonly number[]} shape
 * @property {Kind} kind
 * @property {number} scale 0 where it is not quantized.
 * @property {number} zeroPoint
 */

/** A .tflite without its archive. */
export class Flatbuffer {
  /** @param {Uint8Array} model */
  constructor(model) {
    this.bytes = model;
    this.view = new DataView(model.buffer, model.byteOffset, model.byteLength);
    try {
      /** Place of the first subgraph. */
      this.graph = this.#tables(this.#field(this.#uint(0), MODEL_SUBGRAPHS))[0];
      this.tensors = this.#tables(this.#field(this.graph, GRAPH_TENSORS));
      this.inputs = this.#ints(this.#field(this.graph, GRAPH_INPUTS)).map((index) => this.#tensor(index));
      this.outputs = this.#ints(this.#field(this.graph, GRAPH_OUTPUTS)).map((index) => this.#tensor(index));
    } catch (error) {
      throw cutOff(error);
    }
  }

  /**
   * A tensor of the first subgraph.
   * @param {number} index
   * @returns {TensorInfo}
   */
  tensor(index) {
    try {
      return this.#tensor(index);
    } catch (error) {
      throw cutOff(error);
    }
  }

  /**
   * The model with more tensors among its outputs, behind those that it has. Vectors that replace others are put at the
   * end: offsets point forwards, so nothing else moves. Signatures, which name outputs, are left out.
   * @param {readonly number[]} tensors Indices in the first subgraph.
   * @returns {Uint8Array}
   */
  withOutputs(tensors) {
    if (!tensors.length) return this.bytes;
    if (tensors.some((index) => !(index >= 0 && index < this.tensors.length))) {
      throw new EngineError(`the model has ${this.tensors.length} tensors, none with the indices ${tensors}`);
    }
    const field = this.#field(this.graph, GRAPH_OUTPUTS);
    const outputs = [...this.#ints(field), ...tensors];
    const start = (this.bytes.length + 3) & ~3;
    const model = new Uint8Array(start + 4 * (outputs.length + 2));
    model.set(this.bytes);
    const view = new DataView(model.buffer);
    [outputs.length, ...outputs].forEach((value, index) => view.setUint32(start + 4 * index, value, true));
    view.setUint32(field, start - field, true);
    const signatures = this.#optional(this.#uint(0), MODEL_SIGNATURES);
    const none = start + 4 * (outputs.length + 1); // a vector of no elements
    if (signatures) view.setUint32(signatures, none - signatures, true);
    return model;
  }

  /**
   * @param {number} index
   * @returns {TensorInfo}
   */
  #tensor(index) {
    const table = this.tensors[index];
    if (table === undefined) throw new RangeError(`tensor ${index}`);
    const shape = this.#optional(table, TENSOR_SHAPE), type = this.#optional(table, TENSOR_TYPE);
    const quantization = this.#optional(table, TENSOR_QUANTIZATION);
    const kind = KINDS[type ? this.view.getInt8(type) : 0] ?? "other";
    const info = { shape: shape ? this.#ints(shape) : [], kind, scale: 0, zeroPoint: 0 };
    if (!quantization) return info;
    const parameters = this.#target(quantization);
    const scale = this.#optional(parameters, QUANTIZATION_SCALE), zero = this.#optional(parameters, QUANTIZATION_ZERO_POINT);
    // Of per-channel quantization, which inputs and outputs do not have, none counts.
    if (scale && this.#length(scale) === 1) info.scale = this.view.getFloat32(this.#target(scale) + 4, true);
    if (zero && this.#length(zero) === 1) info.zeroPoint = Number(this.view.getBigInt64(this.#target(zero) + 4, true));
    return info;
  }

  /** @param {number} place */
  #uint(place) {
    return this.view.getUint32(place, true);
  }

  /**
   * Where the offset at a place points to.
   * @param {number} place
   */
  #target(place) {
    return place + this.#uint(place);
  }

  /** @param {number} field */
  #length(field) {
    return this.#uint(this.#target(field));
  }

  /**
   * @param {number} table
   * @param {number} number
   */
  #field(table, number) {
    const found = this.#optional(table, number);
    if (!found) throw new RangeError(`field ${number}`);
    return found;
  }

  /**
   * Place of a field of a table; 0 if the field is not written.
   * @param {number} table
   * @param {number} number
   */
  #optional(table, number) {
    const vtable = table - this.view.getInt32(table, true);
    if (this.view.getUint16(vtable, true) <= 4 + 2 * number) return 0;
    const offset = this.view.getUint16(vtable + 4 + 2 * number, true);
    return offset && table + offset;
  }

  /** @param {number} field */
  #ints(field) {
    const start = this.#target(field), count = this.#counted(start);
    return Array.from({ length: count }, (_, index) => this.view.getInt32(start + 4 + 4 * index, true));
  }

  /** @param {number} field */
  #tables(field) {
    const start = this.#target(field), count = this.#counted(start);
    return Array.from({ length: count }, (_, index) => this.#target(start + 4 + 4 * index));
  }

  /** @param {number} start */
  #counted(start) {
    const count = this.#uint(start);
    if (4 * count > this.bytes.length) throw new RangeError(`${count} elements`);
    return count;
  }
}

/** @param {unknown} error */
function cutOff(error) {
  if (!(error instanceof RangeError)) return error;
  return new EngineError("not a TFLite model: its flatbuffer is cut off or damaged");
}
