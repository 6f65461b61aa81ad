// What a person hears and feels when a label comes.

/** @typedef {"" | "tone" | "speech" | "vibration" | "tone+vibration"} Signal */

/** @type {[Signal, string][]} */
export const SIGNALS = [
  ["", "silent"], ["tone", "tone"], ["speech", "spoken"], ["vibration", "vibration"], ["tone+vibration", "tone and vibration"],
];

/** Semitones above A3 of a pentatonic scale: labels beside each other are told apart, and none sounds wrong. */
const SCALE = [0, 2, 4, 7, 9, 12, 14, 16, 19, 21, 24];

/** @type {AudioContext | null} */
let audio = null;

/** To be called where a person clicks: browsers let a page sound only after that. */
export function allowSound() {
  audio ??= globalThis.AudioContext ? new AudioContext() : null;
  audio?.resume();
}

/**
 * @param {Signal} signal
 * @param {string} label
 * @param {number} index Number of the label, which gives the tone its height.
 */
export function signalLabel(signal, label, index) {
  if (signal.includes("tone")) tone(220 * 2 ** (SCALE[index % SCALE.length] / 12));
  if (signal.includes("vibration")) navigator.vibrate?.(150);
  if (signal === "speech" && globalThis.speechSynthesis) {
    speechSynthesis.cancel(); // what is not said yet is of an older label
    speechSynthesis.speak(new SpeechSynthesisUtterance(label));
  }
}

/** @param {number} hertz */
function tone(hertz) {
  if (!audio) return;
  const [oscillator, gain] = [audio.createOscillator(), audio.createGain()];
  const now = audio.currentTime;
  oscillator.frequency.value = hertz;
  gain.gain.setValueAtTime(0.2, now);
  gain.gain.exponentialRampToValueAtTime(0.001, now + 0.4);
  oscillator.connect(gain).connect(audio.destination);
  oscillator.start(now);
  oscillator.stop(now + 0.4);
}
