// What a person chooses, kept in this browser for each model by its name.

import { site } from "./assets.js";
import { allowSound, SIGNALS } from "./signals.js";
import { $, make, searched, setText, showMore } from "./view.js";

/**
 * @typedef {object} Settings
 * @property {number} threshold Score from which on a label is believed.
 * @property {number} smoothing Seconds over which scores are averaged; 0 for none.
 * @property {Record<string, import("./signals.js").Signal>} signals What is heard and felt, by label.
 */

const KEY = `edge-mobilenet ${site.name}`;

/** @type {Settings} The defaults are those of `edge-run live`. */
export const settings = { threshold: 0.6, smoothing: 0.5, signals: {} };

try {
  Object.assign(settings, JSON.parse(localStorage.getItem(KEY) ?? "{}"));
} catch { /* storage is off, or holds something else: the defaults do */ }
settings.signals = Object.assign(Object.create(null), settings.signals); // a label may be called __proto__

function store() {
  try {
    localStorage.setItem(KEY, JSON.stringify(settings));
  } catch { /* they hold until the page is left */ }
}

/**
 * Fills the settings in and keeps what is changed.
 * @param {readonly string[]} labels
 * @param {() => void} changed Called when the rule of decisions is another one.
 */
export function showSettings(labels, changed) {
  slider("threshold", (value) => `${Math.round(100 * value)} %`, changed);
  slider("smoothing", (value) => (value ? `${value.toFixed(1)} s` : "none"), changed);
  const search = $("signal-search");
  const list = () => showSignals(labels, search.value);
  search.addEventListener("input", list);
  list();
}

/** @param {"threshold" | "smoothing"} name @param {(value: number) => string} text @param {() => void} changed */
function slider(name, text, changed) {
  const input = $(name);
  input.value = String(settings[name]);
  setText($(`${name}-value`), text(settings[name]));
  input.addEventListener("input", () => {
    settings[name] = Number(input.value);
    setText($(`${name}-value`), text(settings[name]));
    input.setAttribute("aria-valuetext", text(settings[name]));
    store();
    changed();
  });
}

/** @param {readonly string[]} labels @param {string} search */
function showSignals(labels, search) {
  const { found, more } = searched(labels, search);
  $("signals").replaceChildren(...found.map((label) => {
    const item = make("li");
    const select = /** @type {HTMLSelectElement} */ (make("select", undefined, { "aria-label": label }));
    select.append(...SIGNALS.map(([value, text]) => make("option", text, { value })));
    select.value = settings.signals[label] ?? "";
    select.addEventListener("change", () => {
      settings.signals[label] = /** @type {import("./signals.js").Signal} */ (select.value);
      if (select.value.includes("tone")) allowSound();
      store();
    });
    item.append(make("bdi", label), select);
    return item;
  }));
  showMore($("signals-more"), more);
}
