// Jobs as cards that keep themselves up to date: how far they are, their curve, their log, and buttons that end or repeat them.
import { api, attempt, confirm, element, get, listen, send } from "./studio.js";

const WORDS = { queued: "waits", running: "runs", done: "done", failed: "failed", cancelled: "cancelled" };

/**
 * Shows the jobs of these kinds in #jobs, the newest first; `changed(job)` is called whenever one changes.
 * `remedy` is a button { title, shown(job), run(job) } for jobs that have failed.
 */
export async function showJobs(kinds, changed = () => {}, remedy = null) {
  const place = document.getElementById("jobs");
  const cards = new Map();

  const show = (job, known = true) => {
    if (!kinds.includes(job.kind)) return;
    const card = cards.get(job.id) ?? makeCard(job, remedy);
    if (!cards.has(job.id)) {
      if (!cards.size) place.replaceChildren();
      known ? place.append(card.root) : place.prepend(card.root);
      cards.set(job.id, card);
    }
    card.update(job);
  };
  const load = () => attempt(async () => {
    const told = await get(api("jobs"));
    for (const [id, card] of cards) if (!told.jobs.some((job) => job.id === id)) { card.root.remove(); cards.delete(id); }
    for (const job of told.jobs) show(job);
    const others = document.getElementById("others");
    others.hidden = !told.others;
    others.textContent = `${told.others} jobs of other projects share this machine.`;
  });
  await load();
  listen({
    job: (job) => { show(job, false); changed(job); },
    reload: load,
  });
  return { show: (job) => show(job, false), load };
}

function makeCard(first, remedy) {
  const state = element("span", { className: "state" });
  const step = element("p", { className: "quiet" });
  const bar = element("progress", { max: 1, hidden: true, aria: { label: `How far ${first.title} is` } });
  const message = element("p", {});
  const curve = element("div", {});
  const cancel = element("button", { type: "button" }, "Cancel");
  const again = element("button", { type: "button" }, first.kind === "train" ? "Go on" : "Try again");
  const mend = element("button", { type: "button", className: "primary", hidden: true }, remedy?.title ?? "");
  const log = element("pre", { tabIndex: 0, aria: { label: `Log of ${first.title}` } });
  const logFold = element("details", {}, element("summary", {}, "Log"), log);
  const command = element("details", {}, element("summary", {}, "The command to repeat it"), element("pre", { tabIndex: 0 }, first.shell));
  const root = element("article", { className: "job", data: { job: first.id } },
    element("h3", {}, element("span", {}, first.title), state), bar, step, message, curve,
    element("p", { className: "row" }, cancel, mend, again), logFold, command);

  cancel.addEventListener("click", () => attempt(async () => {
    if (first.kind === "train" && !(await confirm("Cancel this training? It can go on later after its last epoch.", "Cancel it"))) return;
    update((await send(api(`jobs/${first.id}/cancel`))).job);
  }));
  again.addEventListener("click", () => attempt(async () => {
    await send(api(`jobs/${first.id}/again`));
    root.remove();
  }));
  mend.addEventListener("click", () => attempt(() => remedy.run(first)));
  const readLog = () => attempt(async () => { log.textContent = (await get(api(`jobs/${first.id}/log`))).log || "Nothing was printed yet."; });
  logFold.addEventListener("toggle", () => { if (logFold.open) readLog(); });

  function update(job) {
    root.dataset.state = job.state;
    state.dataset.state = job.state;
    state.textContent = WORDS[job.state];
    const progress = job.state === "running" ? job.progress : null;
    bar.hidden = job.state !== "running";
    if (progress?.total) bar.value = progress.done / progress.total; else bar.removeAttribute("value");
    step.textContent = job.state !== "running" ? "" : progress ? `${progress.step}${left(progress.left_s)}` : "Starting";
    message.textContent = job.message;
    cancel.hidden = !["queued", "running"].includes(job.state);
    again.hidden = !["failed", "cancelled"].includes(job.state);
    mend.hidden = job.state !== "failed" || !remedy?.shown(job);
    if (job.epochs?.length > 1) curve.replaceChildren(drawCurve(job.epochs));
    if (logFold.open) readLog();
  }
  return { root, update };
}

function left(seconds) {
  if (seconds === null || seconds === undefined) return "";
  return seconds < 90 ? `, ${Math.ceil(seconds)} s left` : `, ${Math.ceil(seconds / 60)} min left`;
}

/** Accuracy on the validation photos and loss on the training photos, epoch by epoch. */
function drawCurve(epochs) {
  const [width, height, margin] = [480, 160, 26];
  const svg = (name, attributes, text = "") => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.textContent = text;
    return made;
  };
  const last = Math.max(1, epochs.at(-1).epoch);
  const x = (epoch) => margin + (width - 2 * margin) * epoch / last;
  const y = (share) => height - margin - (height - 2 * margin) * share;
  const losses = epochs.filter((one) => one.train_loss !== null);
  const most = Math.max(...losses.map((one) => one.train_loss), 1e-9);
  const line = (points) => points.map(([across, down]) => `${across.toFixed(1)},${down.toFixed(1)}`).join(" ");
  const best = epochs.at(-1).val_accuracy;
  const label = `${(100 * best).toFixed(1)} % of the validation photos right after epoch ${epochs.at(-1).epoch}`;
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "curve", role: "img", "aria-label": label });
  drawing.append(
    svg("line", { class: "axis", x1: margin, x2: width - margin, y1: y(0), y2: y(0) }),
    svg("line", { class: "axis", x1: margin, x2: width - margin, y1: y(1), y2: y(1) }),
    svg("text", { x: 0, y: y(1) + 4 }, "100"), svg("text", { x: 0, y: y(0) + 4 }, "0 %"),
    svg("text", { x: margin, y: height - 6 }, label),
    svg("polyline", { class: "loss", points: line(losses.map((one) => [x(one.epoch), y(one.train_loss / most)])) }),
    svg("polyline", { class: "accuracy", points: line(epochs.map((one) => [x(one.epoch), y(one.val_accuracy)])) }),
    svg("text", { x: width - 190, y: 12 }, "— right   - - training loss"),
  );
  return drawing;
}
