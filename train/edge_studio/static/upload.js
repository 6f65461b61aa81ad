// Files, folders and zips to the studio: one request a file, four at a time. Only what the studio has confirmed counts.
import { api, send, segment } from "./studio.js";

const AT_ONCE = 4;
const PICTURE = /\.(jpe?g|png|gif|bmp|webp|tiff?|avif|hei[cf]|jxl|jp2|p[bgnp]m)$/i;
const ARCHIVE = /\.(zip|tar|tgz|tar\.(gz|bz2|xz))$/i;

/** The files of a drop with their paths, `roses/1.jpg`; folders are looked into. */
export async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files].map((file) => ({ file, path: file.name }));
  const found = [];
  for (const entry of entries) await visit(entry, "", found);
  return found;
}

async function visit(entry, above, found) {
  if (entry.name.startsWith(".")) return;
  const path = above + entry.name;
  if (entry.isFile) {
    found.push({ file: await new Promise((resolve, reject) => entry.file(resolve, reject)), path });
    return;
  }
  const reader = entry.createReader();
  // A reader gives a hundred entries at a time.
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const child of some) await visit(child, `${path}/`, found);
  }
}

/** The files of an input; those of a chosen folder have paths. */
export const chosenFiles = (input) =>
  [...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));

/**
 * Uploads. `label` is for files that lie in no folder; `ask` gives one if it is needed and there is none.
 * `tell` is called after each file with { done, total, added, already, refused: [line] }.
 */
export async function upload(files, { label, ask, tell }) {
  const state = { done: 0, total: files.length, added: 0, already: 0, refused: [], paths: [] };
  const archives = files.filter(({ path }) => ARCHIVE.test(path));
  const pictures = files.filter(({ path }) => !ARCHIVE.test(path));
  const inFolders = pictures.filter(({ path }) => path.includes("/") && PICTURE.test(path));
  const labels = new Map(pictures.map((one) => [one, one.path.split("/").at(-2)]));
  if (inFolders.length) {
    const answer = await send(api("layout"), { paths: inFolders.map(({ path }) => path) });
    inFolders.forEach((one, place) => labels.set(one, answer.labels[place]));
  }
  let flat = label;
  if (!flat && pictures.some((one) => !labels.get(one))) {
    flat = await ask();
    if (!flat) return null;
  }
  tell(state);
  await inTurn(archives, 1, async ({ file, path }) => {
    const answer = await put("archive", file, path, label);
    state.added += Object.values(answer.added).reduce((sum, count) => sum + count, 0);
    state.already += answer.already;
    state.refused.push(...answer.reasons.map((reason) => `${path}: ${reason}`));
  }, state, tell);
  await inTurn(pictures, AT_ONCE, async (one) => {
    const answer = await put("upload", one.file, one.path, labels.get(one) || flat);
    if (answer.new) { state.added += 1; state.paths.push(answer.path); } else state.already += 1;
    if (answer.also_in) state.refused.push(`${one.path}: taken, but ${answer.also_in} has the same photo`);
  }, state, tell);
  return state;
}

/** Uploads one picture that has no file. */
export const uploadBlob = (blob, name, label) => put("upload", blob, name, label);

const put = (route, file, name, label) =>
  send(api(`${route}?name=${segment(name)}&label=${segment(label)}`), file, "PUT");

async function inTurn(items, atOnce, work, state, tell) {
  const waiting = [...items];
  const worker = async () => {
    for (let item = waiting.shift(); item; item = waiting.shift()) {
      try {
        await work(item);
      } catch (error) {
        state.refused.push(`${item.path}: ${error.message}`);
      }
      state.done += 1;
      tell(state);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}
