// Two runs on the test photos that both have.
import { api, attempt, get, project, segment } from "./studio.js";
import { card, percent } from "./gallery.js";

const $ = (id) => document.getElementById(id);
const COUNT = 24;
let outcome = "worse";
let shown = 0;

async function load(more = false) {
  if (!more) shown = 0;
  const query = new URLSearchParams({ before: $("before").value, after: $("after").value, outcome, start: shown, count: COUNT });
  const found = await get(api(`compare?${query}`));
  if (!more) $("gallery").replaceChildren();
  $("gallery").append(...found.photos.map(({ before, after }) => card(after, [
    `labeled ${after.label}`, `before ${before.predicted}, ${percent(before.predicted_score)}`,
    `after ${after.predicted}, ${percent(after.predicted_score)}`,
  ], (photo) => window.open(`/p/${segment(project)}/photos?label=${segment(photo.label_now)}`, "_self"))));
  shown += found.photos.length;
  $("more").hidden = shown >= found.total;
  const points = found.difference && Object.fromEntries(Object.entries(found.difference).map(([key, value]) => [key, (100 * value).toFixed(1)]));
  $("facts").textContent = points
    ? `${points.value > 0 ? "+" : ""}${points.value} points (${points.low} to ${points.high}); a chance of ${percent(found.p_value)} that two equally good runs differ as much`
    : "The two runs have no test photo in common.";
  for (const button of $("outcomes").children) {
    button.ariaPressed = String(button.dataset.outcome === outcome);
    button.textContent = `${button.textContent.replace(/: \d+$/, "")}: ${found.counts[button.dataset.outcome]}`;
  }
  $("h-photos").textContent = `${found.total} photo${found.total === 1 ? "" : "s"}`;
}

if ($("choose")) {
  $("choose").addEventListener("change", () => attempt(() => load()));
  $("outcomes").addEventListener("click", (event) => {
    if (event.target.dataset.outcome) { outcome = event.target.dataset.outcome; attempt(() => load()); }
  });
  $("more").addEventListener("click", () => attempt(() => load(true)));
  attempt(() => load());
}
