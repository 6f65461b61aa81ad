// What the page does with the engine: opens the model with LiteRT.js, lets it prove itself, and looks at what there is.

import { Classifier } from "../js/classifier.js";
import { Decider } from "../js/decisions.js";
import { decodePicture } from "../js/frames.js";
import { liteRtRuntime } from "../js/litert.js";
import { selfTest } from "../js/selftest.js";
import { loadLiteRt } from "./litertjs_core.js";
import { provide } from "./wasm_loader.js";

/** @typedef {import("../js/classifier.js").Result} Result */
/** @typedef {import("../js/decisions.js").Event} Event */
/** @typedef {import("./assets.js").Site} Site */
/** @typedef {import("./settings.js").Settings} Settings */

/**
 * @typedef {object} Look What is seen and believed of a frame.
 * @property {import("../js/classifier.js").Prediction[]} top
 * @property {Float32Array} scores
 * @property {boolean | null} known
 * @property {number | null} familiarity
 * @property {string | null} label What is believed; null if no label is there.
 * @property {number} score
 * @property {Event[]} events
 * @property {number} tookMs
 */

const TOP = 5;

export class Engine {
  #classifier;
  #decider;

  /** @param {Classifier} classifier */
  constructor(classifier) {
    this.#classifier = classifier;
    this.#decider = new Decider(classifier.labels);
    this.labels = classifier.labels;
    this.input = classifier.input;
    this.threshold = 0.6;
  }

  /**
   * @param {Uint8Array} model
   * @param {Uint8Array} wasm
   * @param {Site} site
   */
  static async open(model, wasm, site) {
    provide(wasm, site.loader);
    // The name decides nothing but which file `createWasmLib` is asked for, and the page's own answers with what it has.
    const liteRt = await loadLiteRt("litert_loader.js");
    return new Engine(await Classifier.open(model, { runtime: liteRtRuntime(liteRt, site.runtime), key: site.key }));
  }

  /**
   * Replays the golden vectors, which warms the runtime up, too.
   * @returns {Promise<{stage: string | null, reason: string, told: string}>} `told` is what a person reads of it.
   */
  async selfTest() {
    const { stage, reason, frames, largestDifference } = await selfTest(this.#classifier);
    const { seal, runtime } = this.#classifier;
    const signed = seal?.signedBy ? `, signed by ${seal.signedBy}${seal.signatureChecked ? "" : " (not checked)"}` : "";
    const apart = largestDifference ? `, scores within ${largestDifference.toPrecision(2)}` : " and to the same scores";
    const told = `sha256:${seal?.digest}${signed}. ${frames} frames replayed with ${runtime}: ` +
      `decoded and preprocessed to the same bytes${apart}.`;
    return { stage, reason, told };
  }

  /**
   * Begins anew with what is believed: of another source, or by another rule.
   * @param {Settings} settings
   */
  restart({ threshold, smoothing }) {
    this.threshold = threshold;
    this.#decider = new Decider(this.labels, { threshold, smoothing: smoothing ? { seconds: smoothing } : null });
  }

  /**
   * @param {HTMLVideoElement} video
   * @returns {Promise<Look>}
   */
  async lookAtVideo(video) {
    return this.#look(video, this.#decider);
  }

  /**
   * Looks at a picture by itself, and draws what it looked at.
   * @param {Blob} file
   * @param {HTMLCanvasElement} canvas
   * @returns {Promise<Look>}
   */
  async lookAtPicture(file, canvas) {
    const frame = await decodePicture(file);
    [canvas.width, canvas.height] = [frame.width, frame.height];
    canvas.getContext("2d")?.putImageData(/** @type {ImageData} */ (frame), 0, 0);
    return this.#look(frame, new Decider(this.labels, { threshold: this.threshold, smoothing: null }));
  }

  /**
   * @param {import("../js/frames.js").Picture} source
   * @param {Decider} decider
   * @returns {Promise<Look>}
   */
  async #look(source, decider) {
    const began = performance.now();
    const { predictions, scores, known, familiarity } = await this.#classifier.classify(source, { count: TOP });
    const { decision, events } = decider.update(scores, began / 1000, { known: known ?? true });
    return { top: predictions, scores, known, familiarity, ...decision, events, tookMs: performance.now() - began };
  }
}
