// Pictures that a person says the label of. They stay in this browser (IndexedDB) until they are exported.

import { zipped } from "./zip.js";

const STORE = "pictures";

/**
 * @typedef {object} Correction
 * @property {number} [id]
 * @property {string} label What a person says that it is.
 * @property {string} said What the model said.
 * @property {number} time Milliseconds since the epoch.
 * @property {ArrayBuffer} jpeg
 */

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
const done = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

/** @param {IDBTransactionMode} mode */
async function store(mode) {
  const opening = indexedDB.open("edge-mobilenet-corrections", 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE, { keyPath: "id", autoIncrement: true });
  const database = await done(opening);
  const transaction = database.transaction(STORE, mode);
  const settled = new Promise((resolve, reject) => {
    transaction.oncomplete = resolve;
    transaction.onabort = () => reject(transaction.error); // a full disk, say
  }).finally(() => database.close());
  return { pictures: transaction.objectStore(STORE), settled };
}

/** @param {Correction} correction */
export async function keep(correction) {
  const { pictures, settled } = await store("readwrite");
  pictures.add(correction);
  await settled;
  await navigator.storage?.persist?.(); // browsers may clear what was not asked to stay
}

/** @returns {Promise<Correction[]>} */
export async function kept() {
  const { pictures, settled } = await store("readonly");
  const found = await done(pictures.getAll());
  await settled;
  return found;
}

export async function forgetAll() {
  const { pictures, settled } = await store("readwrite");
  pictures.clear();
  await settled;
}

/**
 * A label as the name of a folder; the rule of `edge_device.sinks.inbox.folder_names`.
 * @param {string} label
 */
export function folderName(label) {
  // eslint-disable-next-line no-control-regex
  let name = label.normalize("NFC").replace(/[/\\\0-\x1f\x7f]/g, "_").trim().replace(/^\./, "_") || "unknown";
  while (new TextEncoder().encode(name).length > 200) name = Array.from(name).slice(0, -1).join("");
  return name;
}

/** A zip with a folder for each class, as `edge-train fit` takes it. */
export async function exported() {
  const corrections = await kept();
  return zipped(corrections.map(({ id, label, time, jpeg }) => {
    const stamp = new Date(time).toISOString().replace(/[-:]/g, "").slice(0, 15);
    return { name: `${folderName(label)}/${stamp}-${id}.jpg`, bytes: new Uint8Array(jpeg), time: new Date(time) };
  }));
}
