// One finished run: what it takes for what, its mistakes, where it looks.
import { api, attempt, element, get, listen, segment, send, tell } from "./studio.js";
import { card, estimate, percent } from "./gallery.js";

const $ = (id) => document.getElementById(id);
const run = $("facts").dataset.run;
const of = (path) => api(`runs/${segment(run)}/${path}`);
const COUNT = 24;
let query = { only: "mistakes" };
let shown = 0;
let looking = null;

async function load(more = false) {
  if (!more) shown = 0;
  const text = new URLSearchParams({ ...query, start: shown, count: COUNT });
  const found = await get(of(`review?${text}`));
  if (!more) $("gallery").replaceChildren();
  $("gallery").append(...found.photos.map((photo) => card(photo, [
    `labeled ${photo.label}`, `taken for ${photo.predicted}, ${percent(photo.predicted_score)}`,
    ...(photo.label_now && photo.label_now !== photo.label ? [`now ${photo.label_now}`] : []),
  ], look)));
  shown += found.photos.length;
  $("more").hidden = shown >= found.total;
  const what = query.only ? "Mistakes" : `Labeled ${query.label}, taken for ${query.predicted}`;
  $("h-photos").textContent = `${what}: ${found.total}`;
  $("mistakes").ariaPressed = String(Boolean(query.only));
  return found;
}

function drawConfusion(found) {
  const most = Math.max(1, ...found.confusion.map((row, at) => Math.max(...row.filter((_, other) => other !== at), 0)));
  const head = element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "labeled"),
    ...found.labels.map((label) => element("th", { scope: "col" }, label)), element("th", { scope: "col" }, "found")));
  const rows = found.confusion.map((row, at) => element("tr", {}, element("th", { scope: "row" }, found.labels[at]),
    ...row.map((count, other) => cell(found.labels[at], found.labels[other], count, most)),
    element("td", {}, found.classes[at].recall ? percent(found.classes[at].recall.value) : "")));
  $("confusion").replaceChildren(head, element("tbody", {}, ...rows));
}

function cell(label, predicted, count, most) {
  if (!count) return element("td", { className: "quiet" }, "0");
  const name = label === predicted ? `${count} of ${label}, right` : `${count} of ${label} taken for ${predicted}`;
  const button = element("button", { type: "button", ariaLabel: name }, String(count));
  if (label !== predicted) button.dataset.heat = String(Math.min(3, Math.ceil((3 * count) / most)));
  button.addEventListener("click", () => attempt(async () => {
    query = { label, predicted };
    await load();
    $("h-photos").scrollIntoView({ block: "start" });
  }));
  return element("td", {}, button);
}

function look(photo) {
  looking = photo;
  $("look-title").textContent = `Labeled ${photo.label}, taken for ${photo.predicted} with ${percent(photo.predicted_score)}`;
  $("look-photo").src = api(`preview?path=${segment(photo.path)}&version=${photo.version}`);
  $("look-photo").alt = `Photo of ${photo.label_now}`;
  $("look-heat").hidden = true;
  $("look-said").textContent = `Score of its own label: ${percent(photo.label_score)}`;
  $("look-label").value = photo.label_now;
  $("look").showModal();
}

$("mistakes").addEventListener("click", () => attempt(() => { query = { only: "mistakes" }; return load(); }));
$("more").addEventListener("click", () => attempt(() => load(true)));
$("look-close").addEventListener("click", () => $("look").close());
$("look-heatmap").addEventListener("click", () => attempt(async () => {
  const photo = looking;
  $("look-said").textContent = "Drawing where it looks: some seconds, longer the first time.";
  const answer = await fetch(of(`heatmap?path=${segment(photo.path)}`));
  if (!answer.ok) {
    $("look-said").textContent = "";
    throw new Error((await answer.json()).error);
  }
  if (photo !== looking) return;
  $("look-heat").src = URL.createObjectURL(await answer.blob());
  $("look-heat").alt = `Where the run looks in the photo for ${photo.predicted}`;
  $("look-heat").hidden = false;
  $("look-said").textContent = "The brighter, the more a place speaks for its answer.";
}));
$("look-label").addEventListener("change", () => attempt(async () => {
  const answer = await send(api("photos/move"), { paths: [looking.path], label: $("look-label").value });
  $("look").close();
  tell(answer.title, { action: { title: "Undo", run: async () => { await send(api("undo")); await load(); } } });
  await load();
}));

attempt(async () => {
  const found = await load();
  $("facts").textContent = `${estimate(found.accuracy)} of the test photos right`;
  drawConfusion(found);
  const { classes } = await get(api("photos?count=0"));
  $("look-label").replaceChildren(...classes.map((one) => element("option", { value: one.label }, one.label)));
  await loadPictures();
});

const CURVE = "learning_curve.png";
const WORDS = { "curves.png": "Loss and accuracy, epoch by epoch", [CURVE]: "Accuracy of the last layer by photos a class", "reliability.png": "Can its scores be believed?" };

async function loadPictures() {
  const mine = (await get(api("runs"))).runs.find((one) => one.name === run);
  const figure = (name) => element("figure", {},
    element("img", { src: of(`files/${name}`), alt: WORDS[name], loading: "lazy" }), element("figcaption", {}, WORDS[name]));
  const pictures = mine?.pictures ?? [];
  $("pictures").replaceChildren(...pictures.filter((name) => name !== CURVE).map(figure));
  $("curve").replaceChildren(...pictures.filter((name) => name === CURVE).map(figure));
  $("h-training").hidden = !$("pictures").children.length;
  $("gain").textContent = mine?.gain ?? "";
  $("weakest").textContent = mine?.weakest ?? "";
  $("measure").hidden = pictures.includes(CURVE);
}

$("measure").addEventListener("click", () => attempt(async () => {
  $("measure").disabled = true;
  try {
    await send(api("curve"), { run });
    $("gain").textContent = "Being measured; the Train page shows how far it is.";
  } finally {
    $("measure").disabled = false;
  }
}));
listen({
  job: (job) => {
    if (job.kind !== "curve" || !job.title.endsWith(` ${run}`) || !["done", "failed"].includes(job.state)) return;
    attempt(loadPictures);
    if (job.state === "failed") tell(job.message, { bad: true });
  },
  reload: () => attempt(loadPictures),
});
