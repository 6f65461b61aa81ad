// The page of a project's photos.
import { api, ask, attempt, confirm, element, get, listen, segment, send, tell } from "./studio.js";
import { Grid } from "./grid.js";
import { chosenFiles, droppedFiles, upload } from "./upload.js";
import { openCamera } from "./camera.js";

const $ = (id) => document.getElementById(id);
let classes = [];
let label = "";
let flag = "";
let undoTitle = "";

const grid = new Grid($("grid"), { changed: showSelection, opened: openViewer, loaded: showState });

const start = new URLSearchParams(location.search);
attempt(() => show({ label: start.get("label") ?? "", flag: start.get("flag") ?? "" }));

async function show(query) {
  ({ label, flag } = { label, flag, ...query });
  await grid.show({ label, flag });
}

function showState(state) {
  classes = state.classes.map((one) => one.label);
  const all = { label: "", count: state.classes.reduce((sum, one) => sum + one.count, 0) };
  $("classes").replaceChildren(...[all, ...state.classes].map((one, number) => {
    const key = number && number < 10 ? `${number} ` : "";
    const name = one.label || "All photos";
    const button = element("button", { type: "button", ariaPressed: String(one.label === label && !flag) },
      element("span", {}, `${key}${name}`), element("span", { className: "quiet" }, String(one.count)));
    button.addEventListener("click", () => attempt(() => show({ label: one.label, flag: "" })));
    return element("li", {}, button);
  }));
  for (const item of $("flags").children) {
    const kind = item.dataset.flag;
    item.hidden = !state.flags[kind];
    item.firstElementChild.ariaPressed = String(kind === flag);
    item.querySelector("span").textContent = state.flags[kind];
  }
  $("h-grid").textContent = `${flag ? flagWords(flag) : label || "All photos"}: ${state.total}`;
  $("rename-class").hidden = $("delete-class").hidden = !label;
  $("empty").hidden = state.total > 0;
  $("grid").hidden = $("keys").hidden = $("selection").hidden = state.total === 0;
  if (!$("inspect").disabled) {
    $("inspect-said").textContent = state.flags.unchecked && all.count ? `${state.flags.unchecked} photos not yet looked at` : "";
  }
  showUndo(state.undo);
  for (const select of [$("move"), $("viewer-label")]) {
    select.replaceChildren(element("option", { value: "" }, "Choose a class"),
      ...classes.map((one) => element("option", { value: one }, one)), element("option", { value: "\0" }, "New class…"));
  }
}

const flagWords = (kind) => $("flags").querySelector(`[data-flag="${kind}"] button`).firstChild.textContent.trim();

function showUndo(title) {
  undoTitle = title;
  $("undo").disabled = !title;
  $("undo").title = title ? `Take back: ${title}` : "";
}

function showSelection() {
  const count = grid.selected.size;
  $("selected").textContent = count ? `${count} selected` : "None selected";
  $("move").disabled = $("delete").disabled = !count;
  $("open").disabled = !grid.total;
}

// What changes photos: each answers with what can be taken back.
async function change(path, value) {
  const answer = await send(api(path), value);
  showUndo(answer.undo);
  if (answer.title) tell(answer.title, { action: answer.undo ? { title: "Undo", run: undo } : null });
  grid.selected.clear();
  await grid.reload();
}

async function undo() {
  if (undoTitle) await change("undo", {});
}

async function moveTo(target, paths = grid.chosen()) {
  const name = target === "\0" ? await ask("Name of the new class") : target;
  if (name && paths.length) await change("photos/move", { paths, label: name });
}

const remove = async () => { if (grid.chosen().length) await change("photos/delete", { paths: grid.chosen() }); };

$("undo").addEventListener("click", () => attempt(undo));
$("delete").addEventListener("click", () => attempt(remove));
$("open").addEventListener("click", openViewer);
$("move").addEventListener("change", () => { const target = $("move").value; $("move").value = ""; if (target) attempt(() => moveTo(target)); });
$("flags").addEventListener("click", (event) => {
  const kind = event.target.closest("li")?.dataset.flag;
  if (kind) attempt(() => show(flag === kind ? { flag: "" } : { label: "", flag: kind }));
});
$("new-class").addEventListener("click", () => attempt(async () => {
  const name = await ask("Name of the new class");
  if (name) await show({ label: (await send(api("classes"), { label: name })).label, flag: "" });
}));
$("rename-class").addEventListener("click", () => attempt(async () => {
  const name = await ask(`Another name for ${label}`, label);
  if (!name || name === label) return;
  await change("classes/rename", { label, name });
  await show({ label: name });
}));
$("delete-class").addEventListener("click", () => attempt(async () => {
  if (!(await confirm(`Move the class ${label} with all its photos to the bin?`, "Delete"))) return;
  await change("classes/delete", { label });
  await show({ label: "" });
}));

document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, select, textarea, dialog") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "u") attempt(undo);
  else if (document.activeElement !== $("grid")) return;
  else if (event.key === "Delete" || event.key === "Backspace") attempt(remove);
  else if (/^[1-9]$/.test(event.key) && classes[event.key - 1]) attempt(() => moveTo(classes[event.key - 1]));
  else return;
  event.preventDefault();
});

// One photo, large.
function openViewer() {
  const photo = grid.at(grid.focus);
  if (!photo) return;
  $("viewer-title").textContent = `${photo.label}: ${photo.path.split("/").pop()}`;
  $("viewer-image").src = api(`preview?path=${segment(photo.path)}&version=${photo.version}`);
  $("viewer-image").alt = `Photo of ${photo.label}`;
  $("viewer-flags").textContent = photo.flags.map((one) => (one.kind === "suspect" ? `its neighbors are ${one.detail}` : one.detail)).join("; ");
  $("viewer-label").value = photo.label;
  if (!$("viewer").open) $("viewer").showModal();
}

const viewerStep = (step) => { grid.focusOn(grid.focus + step); setTimeout(openViewer, grid.at(grid.focus) ? 0 : 300); };
$("viewer-before").addEventListener("click", () => viewerStep(-1));
$("viewer-next").addEventListener("click", () => viewerStep(1));
$("viewer-close").addEventListener("click", () => $("viewer").close());
$("viewer").addEventListener("close", () => $("grid").focus({ preventScroll: true }));
$("viewer").addEventListener("keydown", (event) => {
  if (event.target.matches("select")) return;
  if (event.key === "ArrowLeft") viewerStep(-1);
  if (event.key === "ArrowRight") viewerStep(1);
});
$("viewer-label").addEventListener("change", () => attempt(async () => {
  const photo = grid.at(grid.focus);
  $("viewer").close();
  await moveTo($("viewer-label").value, [photo.path]);
}));

// What comes in.
const bringIn = (files) => attempt(async () => {
  if (!files.length) return;
  const target = label;
  const askLabel = () => ask("Which class do these photos show?", classes[0] ?? "", "Add");
  $("refused").replaceChildren();
  const state = await upload(files, { label: target, ask: askLabel, tell: showUpload });
  if (!state) return;
  await grid.reload();
  inspect();
});

function showUpload(state) {
  $("upload").hidden = false;
  $("upload-bar").max = state.total;
  $("upload-bar").value = state.done;
  $("upload-bar").hidden = state.done === state.total;
  const parts = [`${state.done} of ${state.total} files: ${state.added} photos added`];
  if (state.already) parts.push(`${state.already} were there already`);
  if (state.refused.length) parts.push(`${state.refused.length} with a remark`);
  $("upload-said").textContent = parts.join(", ");
  for (const line of state.refused.slice($("refused").childElementCount, 200)) $("refused").append(element("li", {}, line));
}

for (const [button, input] of [["add-files", "files"], ["add-folder", "folder"]]) {
  $(button).addEventListener("click", () => $(input).click());
  $(input).addEventListener("change", () => { const files = chosenFiles($(input)); $(input).value = ""; bringIn(files); });
}
$("capture").addEventListener("change", () => { const files = chosenFiles($("capture")); $("capture").value = ""; bringIn(files); });
$("camera").addEventListener("click", () => attempt(async () => {
  if (!classes.length) {
    const name = await ask("Which class will the camera see?", "", "Go on");
    if (!name) return;
    await send(api("classes"), { label: name });
    await grid.reload();
  }
  await openCamera(classes, () => $("capture").click());
}));
addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dragging"); });
addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dragging"); });
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  const files = droppedFiles(event.dataTransfer);  // at once: the drop's items are gone afterwards
  attempt(async () => bringIn(await files));
});
addEventListener("paste", (event) => {
  const files = [...event.clipboardData.files].map((file) => ({ file, path: file.name || "pasted.png" }));
  if (files.length) { event.preventDefault(); bringIn(files); }
});

// What is odd.
const inspect = () => attempt(async () => showInspection(await send(api("inspect"))));
$("inspect").addEventListener("click", inspect);
attempt(async () => showInspection(await get(api("inspect"))));

function showInspection(told) {
  $("inspect").disabled = told.running;
  const share = told.total ? ` ${Math.round((100 * told.done) / told.total)} %` : "";
  if (told.running) $("inspect-said").textContent = `${told.label}${share}`;
  else if (told.error) $("inspect-said").textContent = told.error;
}

// What others change: another tab, a board, the end of an import.
let waiting = null;
listen({
  photos: () => { clearTimeout(waiting); waiting = setTimeout(() => attempt(() => grid.reload()), 400); },
  reload: () => attempt(() => grid.reload()),
  inspect: showInspection,
  import: (told) => { $("upload").hidden = false; $("upload-said").textContent = `${told.done} of ${told.total} files of the archive looked at`; },
});
