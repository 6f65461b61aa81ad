// What this library throws of its own: one line that says what is wrong, and what to do.

/** @typedef {"digest" | "signature" | "decode" | "preprocess" | "invoke"} Stage The stages of `edge-run verify`, in the order in which they are checked. */

/** A file, a picture or a browser that cannot be used. */
export class EngineError extends Error {
  /**
   * @param {string} message
   * @param {Stage | null} [stage] The stage of the self-test that has failed already; null where it did not come to that.
   */
  constructor(message, stage = null) {
    super(message);
    this.name = "EngineError";
    this.stage = stage;
  }
}
