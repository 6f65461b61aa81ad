// Photos with a line or two beneath each, as many as have been asked for.
import { api, element, segment } from "./studio.js";

export const percent = (share) => `${(100 * share).toFixed(share > 0.995 || share < 0.005 ? 1 : 0)} %`;

export const estimate = (found) => (found
  ? `${(100 * found.value).toFixed(1)} % (${(100 * found.low).toFixed(1)} to ${(100 * found.high).toFixed(1)})` : "?");

/** A photo of a run as a card: `lines` beneath it; `open` is called when it is chosen. */
export function card(photo, lines, open) {
  const picture = photo.path
    ? element("img", { src: api(`thumbnail?path=${segment(photo.path)}&version=${photo.version}`), alt: "", loading: "lazy", decoding: "async" })
    : element("span", { className: "gone" }, "no longer there");
  const text = lines.map((line) => element("span", {}, line));
  const button = element("button", { type: "button", disabled: !photo.path }, picture, ...text);
  button.addEventListener("click", () => open(photo));
  return element("li", {}, button);
}
