// edge-mobilenet in a browser: a .tflite that `edge-convert export` wrote, with the pixels and the scores of the device.
//
//   import { loadLiteRt } from "@litertjs/core";
//   import { Classifier, Decider, liteRtRuntime, selfTest } from "edge-mobilenet";
//
//   const liteRt = await loadLiteRt("/wasm/litert_wasm_compat_internal.js");
//   const classifier = await Classifier.open(bytes, { runtime: liteRtRuntime(liteRt), key: "" });
//       // EngineError: one line to show; .stage is "digest", "signature" or null
//       // deep: true opens a model of pictures with more than 8 bits, for frames that in8Bits(picture, levels) makes
//   classifier.labels, .input, .card.fields, .runtime, .seal  // {digest, checked, signedBy, signatureChecked} or null
//   const test = await selfTest(classifier);
//       // {passed, stage: null | "decode" | "preprocess" | "invoke", reason, frames, largestDifference, tolerance}
//   const { predictions, known, familiarity, scores } = await classifier.classify(source, { count: 5 });
//       // source: Blob, ImageBitmap, <img>, <canvas>, <video>, VideoFrame, or {width, height, data} in RGB or RGBA
//       // predictions: [{label, score}], best first; known: true, false, or null of a model that cannot tell
//   const decider = new Decider(classifier.labels, { threshold: 0.6 });
//   const { decision, events } = decider.update(scores, performance.now() / 1000, { known });
//       // decision: {label: string | null, score}; events: [{kind: "entered" | "left", label, score, seconds}]
//   decider.leave(now), decider.lost(now), decider.relabel(labels, now)  // events
//   classifier.close();

import { Classifier, top } from "./classifier.js";
import { Container } from "./container.js";
import { Decider, checkThresholds } from "./decisions.js";
import { EngineError } from "./errors.js";
import { FAMILIAR } from "./familiarity.js";
import { RangeGuess, decodePicture, frameOf, frameOfVideo, rgbOfYuv } from "./frames.js";
import { liteRtRuntime } from "./litert.js";
import { in8Bits, preprocess } from "./preprocess.js";
import { canHash, checkSeal, sha256 } from "./seal.js";
import { selfTest } from "./selftest.js";

export { Classifier, Container, Decider, EngineError, FAMILIAR, RangeGuess, canHash, checkSeal, checkThresholds, decodePicture, frameOf, frameOfVideo, in8Bits, liteRtRuntime, preprocess, rgbOfYuv, selfTest, sha256, top };
