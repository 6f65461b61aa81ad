// What a person sees. Text from the model, a label or a card, is only ever text (textContent): it may hold anything.

/** @typedef {{label: string, score: number}} Prediction */

/** More rows of labels than a person reads; a search finds the rest. */
export const ROWS = 20;

/** @param {string} id @returns {any} */
export const $ = (id) => document.getElementById(id);

/**
 * @param {string} tag
 * @param {string} [text]
 * @param {Record<string, string>} [attributes]
 */
export function make(tag, text, attributes = {}) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** @param {number} score */
export const percent = (score) => `${(100 * score).toFixed(score < 0.0995 ? 1 : 0)} %`;

/** @param {string} text @param {"good" | "warn" | "bad"} level */
export function showPill(text, level) {
  $("pill").textContent = text;
  $("pill").dataset.level = level;
}

/**
 * A line above the picture, by its id: shown, replaced, or taken away if there is no text.
 * @param {string} id
 * @param {string} text
 * @param {{level?: string, action?: string, onaction?: () => void}} [options]
 */
export function showBanner(id, text, { level = "warn", action, onaction } = {}) {
  document.getElementById(`banner-${id}`)?.remove();
  if (!text) return;
  const banner = make("p", undefined, { class: "banner", id: `banner-${id}`, "data-level": level });
  banner.append(make("span", text, { dir: "auto" }));
  if (action && onaction) {
    const button = make("button", action, { type: "button" });
    button.addEventListener("click", onaction);
    banner.append(button);
  }
  $("banners").append(banner);
}

/**
 * What the picture is, in large letters.
 * @param {string} label Empty for none.
 * @param {string} score
 * @param {"label" | "unknown"} kind
 * @param {string} why
 */
export function showVerdict(label, score, kind, why) {
  setText($("label"), label || "–");
  setText($("score"), score);
  setText($("why"), why);
  $("says").dataset.kind = kind;
}

/** @param {Prediction[]} top */
export function showTop(top) {
  const list = $("top");
  while (list.children.length > top.length) list.lastChild.remove();
  top.forEach(({ label, score }, index) => {
    const row = list.children[index] ?? list.appendChild(newRow());
    setText(row.children[0], label);
    row.children[1].value = score;
    row.children[1].setAttribute("aria-label", label);
    setText(row.children[2], percent(score));
  });
}

function newRow() {
  const row = make("li");
  row.append(make("bdi"), make("meter", undefined, { min: "0", max: "1" }), make("span"));
  return row;
}

/** @param {Node} element @param {string} text Written only if it changed, so that a screen reader is not told again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** @param {HTMLElement} list @param {[string, string][]} rows */
export function showRows(list, rows) {
  list.replaceChildren(...rows.map(([name, text]) => {
    const row = make("div");
    row.append(make("dt", name, { dir: "auto" }), make("dd", text, { dir: "auto" }));
    return row;
  }));
}

/**
 * The labels that a search finds: those that begin with it before those that hold it.
 * @param {readonly string[]} labels
 * @param {string} search
 * @returns {{found: string[], more: number}}
 */
export function searched(labels, search) {
  const wanted = search.normalize("NFC").trim().toLocaleLowerCase();
  const folded = labels.map((label) => label.toLocaleLowerCase());
  const begin = labels.filter((_, index) => folded[index].startsWith(wanted));
  const hold = labels.filter((_, index) => !folded[index].startsWith(wanted) && folded[index].includes(wanted));
  const all = [...begin, ...hold];
  return { found: all.slice(0, ROWS), more: Math.max(0, all.length - ROWS) };
}

/** @param {Element} element @param {number} more */
export function showMore(element, more) {
  setText(element, more ? `and ${more.toLocaleString("en")} more: type a part of the name` : "");
}

/**
 * Frames what the model looks at where it cuts the picture.
 * @param {HTMLElement} picture Video or canvas, shown with `object-fit: contain`.
 * @param {[number, number]} size Of the frame, in its own pixels.
 * @param {{crop: string, width: number, height: number}} input
 */
export function showWindow(picture, [width, height], input) {
  const frame = $("window");
  const scale = Math.min(picture.clientWidth / width, picture.clientHeight / height);
  const inside = Math.min(width / input.width, height / input.height) * scale;
  frame.hidden = input.crop !== "center" || !scale;
  const [wide, high] = [input.width * inside, input.height * inside];
  frame.style.width = `${wide}px`;
  frame.style.height = `${high}px`;
  frame.style.left = `${picture.offsetLeft + (picture.clientWidth - wide) / 2}px`;
  frame.style.top = `${picture.offsetTop + (picture.clientHeight - high) / 2}px`;
}
