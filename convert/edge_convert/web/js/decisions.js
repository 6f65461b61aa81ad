// From the scores of frames to what is believed: smoothing, thresholds with hysteresis, events. The rule of
// `edge_device.live.decisions`, for the one thing that a phone is held at.

import { EngineError } from "./errors.js";

/** @typedef {{seconds: number}} Exponential Scores are averaged, a frame's weight falling by e for every `seconds` of its age. */
/** @typedef {{needed: number, frames: number}} Vote A label enters once it was the best of `needed` of the last `frames`, each time above its threshold. */

/**
 * @typedef {object} Rule When a label is there; the defaults are those of `edge-run live`.
 * @property {Exponential | Vote | null} smoothing Over frames, null for each frame by itself.
 * @property {number} threshold Score from which on a label enters.
 * @property {Record<string, number>} thresholds By label, for labels that need another one.
 * @property {number} hysteresis Share of its threshold that a label's score must fall below it before the label leaves, and that another's must be above it to take its place.
 * @property {number} holdS Seconds that a label stays at least.
 * @property {number} lostS Seconds without a source after which the label leaves.
 * @property {number | null} knownShare Share of the frames that must be known for a label to be there; null counts a frame that is not known as one without any label.
 */

/**
 * @typedef {object} Event
 * @property {"entered" | "left"} kind
 * @property {string} label
 * @property {number} score The smoothed score, or the highest while it was there.
 * @property {number} durationS For how long it was there, in seconds; 0 of one that enters.
 */

/** @typedef {{label: string | null, score: number}} Decision */

/** @type {Rule} */
export const DEFAULT_RULE = { smoothing: { seconds: 0.5 }, threshold: 0.6, thresholds: {}, hysteresis: 0.25, holdS: 1, lostS: 5, knownShare: null };

/**
 * Checks that every threshold is a number from 0 to 1, and of a label of the model.
 * @param {Record<string, number>} thresholds
 * @param {readonly string[]} labels
 * @throws {EngineError} One is not.
 */
export function checkThresholds(thresholds, labels) {
  const composed = new Set(labels.map(nfc));
  for (const [label, value] of Object.entries(thresholds)) {
    if (!composed.has(nfc(label))) throw new EngineError(`there is a threshold for ${JSON.stringify(label)}, which is not a label of the model`);
    if (!(value >= 0 && value <= 1)) throw new EngineError(`a threshold is a number from 0 to 1, not ${value}`);
  }
}

/** What is believed of what the camera shows. Times are in seconds, from any start, at any intervals. */
export class Decider {
  /**
   * @param {readonly string[]} labels In the order of the scores.
   * @param {Partial<Rule>} [rule]
   */
  constructor(labels, rule = {}) {
    /** @type {Rule} */
    this.rule = { ...DEFAULT_RULE, ...rule };
    this.#begin(labels);
  }

  /** @type {readonly string[]} */
  labels = [];
  #enter = new Float64Array();
  #smoothed = new Float64Array();
  #known = 0;
  #current = -1;
  #enteredS = 0;
  #peak = 0;
  /** @type {number | null} */
  #beganS = null;
  /** @type {number | null} */
  #updatedS = null;
  /** @type {number | null} */
  #lostSince = null;
  /** @type {{scores: ArrayLike<number>, vote: number}[]} Of a vote, the latest frames. */
  #latest = [];
  #count = 0;

  /**
   * Takes a frame's scores in.
   * @param {Float32Array} scores A frame with one that is not finite counts as not seen.
   * @param {number} nowS
   * @param {{known?: boolean | null}} [options] Whether the frame is of the kind that the model was trained on; null of a model that cannot tell.
   * @returns {{decision: Decision, events: Event[]}} What is believed now, and the events that this made, in order.
   */
  update(scores, nowS, { known = true } = {}) {
    this.#lostSince = null;
    const familiar = known !== false;
    if (scores.every(Number.isFinite)) {
      const speaks = familiar || this.rule.knownShare !== null;
      const weight = this.#smooth(speaks ? scores : new Float32Array(scores.length), nowS);
      this.#known += weight * (Number(familiar) - this.#known);
    }
    return this.#updatedS === null ? { decision: { label: null, score: 0 }, events: [] } : this.#decide(nowS);
  }

  /**
   * @param {number} nowS
   * @returns {{decision: Decision, events: Event[]}}
   */
  #decide(nowS) {
    const best = largest(this.#smoothed), score = this.#smoothed[best];
    /** @type {Event[]} */
    const events = [];
    if (this.#current >= 0) {
      const held = this.#smoothed[this.#current];
      this.#peak = Math.max(this.#peak, held);
      const stays = this.#keeps(this.#current) && held >= this.#rest * score;
      if (stays || nowS - this.#enteredS < this.rule.holdS) return { decision: this.decision, events };
      events.push(...this.leave(nowS));
    }
    if (this.#passes(best)) {
      [this.#current, this.#enteredS, this.#peak] = [best, nowS, score];
      events.push({ kind: "entered", label: this.labels[best], score, durationS: 0 });
    }
    return { decision: this.decision, events };
  }

  /**
   * What was believed last.
   * @returns {Decision}
   */
  get decision() {
    if (this.#current >= 0) return { label: this.labels[this.#current], score: this.#smoothed[this.#current] };
    return { label: null, score: this.#updatedS === null ? 0 : this.#smoothed[largest(this.#smoothed)] };
  }

  /**
   * To be called now and then while the source is away: after `lostS` of that, the label leaves.
   * @param {number} nowS
   * @returns {Event[]}
   */
  lost(nowS) {
    this.#lostSince ??= nowS;
    if (nowS - this.#lostSince < this.rule.lostS) return [];
    const events = this.leave(nowS);
    this.#begin(this.labels);
    return events;
  }

  /**
   * Makes the label leave that is there, if any.
   * @param {number} nowS
   * @returns {Event[]}
   */
  leave(nowS) {
    if (this.#current < 0) return [];
    const label = this.labels[this.#current];
    this.#current = -1;
    return [{ kind: "left", label, score: this.#peak, durationS: Math.max(0, nowS - this.#enteredS) }];
  }

  /**
   * To be called when the model was replaced: unless its labels are the same, what was there leaves.
   * @param {readonly string[]} labels
   * @param {number} nowS
   * @returns {Event[]}
   */
  relabel(labels, nowS) {
    if (labels.length === this.labels.length && labels.every((label, index) => label === this.labels[index])) return [];
    const events = this.leave(nowS);
    this.#begin(labels);
    return events;
  }

  get #rest() {
    return 1 - this.rule.hysteresis;
  }

  /** @param {readonly string[]} labels */
  #begin(labels) {
    const thresholds = new Map(Object.entries(this.rule.thresholds).map(([label, value]) => [nfc(label), value]));
    this.labels = labels;
    this.#enter = Float64Array.from(labels, (label) => thresholds.get(nfc(label)) ?? this.rule.threshold);
    this.#smoothed = new Float64Array(labels.length);
    this.#known = this.#count = 0;
    this.#current = -1;
    this.#beganS = this.#updatedS = this.#lostSince = null;
    this.#latest = [];
  }

  /**
   * Takes the scores of a frame in; returns the weight that they have.
   * @param {Float32Array} scores
   * @param {number} nowS
   */
  #smooth(scores, nowS) {
    const { smoothing } = this.rule;
    let weight = 1;
    /** @type {ArrayLike<number>} */
    let replaced = this.#smoothed;
    if (isVote(smoothing)) {
      const place = this.#count++ % smoothing.frames;
      if (this.#count > smoothing.frames) replaced = this.#latest[place].scores;
      weight = 1 / Math.min(this.#count, smoothing.frames);
      this.#latest[place] = { scores: scores.slice(), vote: this.#vote(scores) };
    } else if (smoothing && this.#updatedS !== null) {
      // However long the pause before it, no frame weighs more than half.
      const passedS = Math.min(Math.max(0, nowS - this.#updatedS), Math.LN2 * smoothing.seconds);
      weight = -Math.expm1(-passedS / smoothing.seconds);
    } else {
      this.#smoothed.fill(0);
    }
    for (let index = 0; index < scores.length; index++) this.#smoothed[index] += (scores[index] - replaced[index]) * weight;
    this.#beganS ??= nowS;
    this.#updatedS = nowS;
    return weight;
  }

  /**
   * The best label of a frame by itself, -1 if it is not good enough.
   * @param {Float32Array} scores
   */
  #vote(scores) {
    const best = largest(scores);
    return scores[best] >= this.#enter[best] * (best === this.#current ? this.#rest : 1) ? best : -1;
  }

  /** @param {number} label */
  #votes(label) {
    return this.#latest.filter(({ vote }) => vote === label).length;
  }

  /** @param {number} label */
  #passes(label) {
    const { smoothing, knownShare } = this.rule;
    if (this.#known < (knownShare ?? 0)) return false;
    if (isVote(smoothing)) return this.#votes(label) >= smoothing.needed;
    if (smoothing && this.#seenS < smoothing.seconds) return false;
    return this.#smoothed[label] >= this.#enter[label];
  }

  /** Seconds of frames that the average is of; a clock's rounding is no reason to wait for one more frame. */
  get #seenS() {
    return this.#beganS === null || this.#updatedS === null ? 0 : this.#updatedS - this.#beganS + 1e-6;
  }

  /** @param {number} label */
  #keeps(label) {
    const { smoothing, knownShare } = this.rule;
    if (this.#known < this.#rest * (knownShare ?? 0)) return false;
    if (isVote(smoothing)) return 2 * this.#votes(label) >= smoothing.needed;
    return this.#smoothed[label] >= this.#rest * this.#enter[label];
  }
}

/**
 * @param {Rule["smoothing"]} smoothing
 * @returns {smoothing is Vote}
 */
function isVote(smoothing) {
  return smoothing !== null && "needed" in smoothing;
}

/**
 * Place of the first of the largest values.
 * @param {ArrayLike<number>} values
 */
function largest(values) {
  let best = 0;
  for (let index = 1; index < values.length; index++) if (values[index] > values[best]) best = index;
  return best;
}

/** @param {string} label */
function nfc(label) {
  return label.normalize("NFC");
}
