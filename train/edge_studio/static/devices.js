// The devices of a project: what they see and run, and what they are given.
import { api, attempt, confirm, element, get, send, segment, tell } from "./studio.js";
import { formValues } from "./forms.js";
import { showJobs } from "./jobs.js";

const PERIOD_MS = 2000;
const TONE = { runs: "good", trial: "warn", shadow: "warn", waiting: "warn", refused: "bad" };

const place = document.getElementById("boards");
const files = [...document.querySelectorAll("#here [name=file] option")].map((option) => option.value);
const cards = new Map();
const jobs = showJobs(["publish", "deploy"], (job) => { if (job.state === "failed") tell(`${job.title}: ${job.message}`, { bad: true }); });

async function load() {
  const { boards } = await get(api("boards"));
  for (const [id, card] of cards) if (!boards.some((board) => board.id === id)) { card.root.remove(); cards.delete(id); }
  if (boards.length && !cards.size) place.replaceChildren();
  for (const board of boards) {
    if (!cards.has(board.id)) { cards.set(board.id, makeCard(board)); place.append(cards.get(board.id).root); }
    cards.get(board.id).update(board);
  }
}

function makeCard(board) {
  const here = `boards/${segment(board.id)}`;
  const picture = element("img", { alt: `What ${board.name} sees`, hidden: true });
  // A board that starts anew has no picture for a moment.
  picture.addEventListener("load", () => { picture.hidden = false; });
  picture.addEventListener("error", () => { picture.hidden = true; });
  const state = element("span", { className: "state" });
  const sees = element("p", { className: "verdict" });
  const reason = element("p", {});
  const deployed = element("p", { role: "status" });
  const facts = element("p", { className: "quiet" });
  const choice = element("select", { aria: { label: `File for ${board.name}` } }, ...files.map((name) => element("option", {}, name)));
  const button = (title, run) => {
    const made = element("button", { type: "button" }, title);
    made.addEventListener("click", () => attempt(async () => { made.disabled = true; try { await run(); await load(); } finally { made.disabled = false; } }));
    return made;
  };
  const act = async (what, value = {}) => {
    const told = await send(api(`${here}/${what}`), value);
    if (told.job) (await jobs).show(told.job);
  };
  const deploy = button("Deploy", () => act("deploy", { file: choice.value }));
  const back = button("Roll back", async () => { if (await confirm(`Have ${board.name} go back to the model before?`, "Roll back")) await act("take-back"); });
  const keep = button("Keep this frame", async () => { await act("keep"); tell("The next frame is kept for the inbox."); });
  const start = button("Start", () => act("start"));
  const stop = button("Stop", () => act("stop"));
  const remove = button("Remove", async () => { if (await confirm(`Forget ${board.name}?`, "Remove it")) await act("remove"); });
  const page = element("a", { className: "button", target: "_blank", rel: "noopener noreferrer" }, "Its page");
  const root = element("article", { className: "job board", data: { board: board.id } },
    element("h3", { className: "wide" }, element("span", {}, board.name), state),
    picture, element("div", {}, sees, reason, deployed, facts),
    element("p", { className: "row wide" }, choice, deploy, back, keep, start, stop, page, remove));

  function update({ state: told, ...now }) {
    root.dataset.digest = told.digest;
    root.dataset.verdict = told.verdict;
    state.textContent = told.reached ? told.health : "not reached";
    state.dataset.state = told.reached ? "done" : "failed";
    const [best] = told.top;
    sees.textContent = !best ? "" : told.known === false ? `unknown, most like ${best[0]}` : `${best[0]}, ${(100 * best[1]).toFixed(0)} %`;
    sees.dataset.known = told.known;
    reason.textContent = told.reason;
    deployed.textContent = told.told;
    deployed.className = TONE[told.verdict] ?? "";
    facts.textContent = !told.reached ? (now.source || now.address || now.ssh)
      : [`${told.model}, ${told.digest.slice(0, 12)}`, `${told.fps.toFixed(1)} frames a second`, told.temperature_c && `${told.temperature_c.toFixed(0)} °C`].filter(Boolean).join(" · ");
    if (told.reached) picture.src = `${api(`${here}/frame.jpg`)}?${Date.now()}`;
    else picture.hidden = true;
    deploy.disabled = !files.length;
    start.hidden = !now.local || told.reached;
    stop.hidden = !now.local || !told.reached;
    keep.hidden = !told.collects;
    page.hidden = !now.address || now.local;
    page.href = now.address || "#";
  }
  return { root, update };
}

document.getElementById("here").addEventListener("submit", (event) => {
  event.preventDefault();
  const button = event.submitter;
  attempt(async () => {
    button.disabled = true;
    try { await send(api("boards/here"), formValues(event.target)); await load(); } finally { button.disabled = false; }
  });
});
document.getElementById("add").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(async () => { await send(api("boards"), formValues(event.target)); event.target.reset(); await load(); });
});

document.getElementById("updates").addEventListener("toggle", (event) => attempt(async () => {
  if (!event.target.open) return;
  const told = await get(api("boards/updates"));
  document.getElementById("update-words").textContent = `edge-run live MODEL ${told.words}`;
  document.getElementById("update-here").hidden = told.beyond;
}));

async function follow() {
  try { if (!document.hidden) await load(); } catch { /* told by the next that works, or by a button */ }
  setTimeout(follow, PERIOD_MS);
}
follow();
