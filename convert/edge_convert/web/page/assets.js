// The files of this site. Each is held against the digest that the exporter wrote before anything of it is used.

import { canHash, sha256 } from "../js/seal.js";

/**
 * @typedef {object} Site What the exporter tells the page.
 * @property {string} name Name of the model.
 * @property {string} build Digest that names this build.
 * @property {string} base Folder of the build's files, with a slash; empty in a single file, which holds them itself.
 * @property {Record<string, string>} files SHA-256 of each file, hexadecimal, by name.
 * @property {string} loader Script of LiteRT.js that makes the WebAssembly module; empty where the page has it inline.
 * @property {"refuse" | "warn"} onFailure What to do when the self-test fails.
 * @property {string} runtime Version of LiteRT.js.
 * @property {string} key Public key, hexadecimal, that must have signed the model; empty for none.
 * @property {[string, string][]} card Rows about the model, a name and a text.
 * @property {boolean} qr Whether there is a QR code of the address.
 */

/** @type {Site} */
export const site = JSON.parse(document.getElementById("site")?.textContent ?? "{}");

/** A file that is not the one that was exported. */
export class FileError extends Error {}

/**
 * The content of a file of the build.
 * @param {string} name
 * @returns {Promise<Uint8Array>}
 */
export async function asset(name) {
  const bytes = site.base ? await fetched(site.base + name) : inlined(name);
  const expected = site.files[name];
  if (canHash() && await sha256(bytes) !== expected) throw new FileError(`${name} is damaged or was changed`);
  return bytes;
}

/**
 * Checks the code of the page itself; a single file needs none, its own policy names its scripts by their digests.
 * @throws {FileError} One of them is missing or was changed.
 */
export async function checkCode() {
  await Promise.all(Object.keys(site.files).filter((name) => site.base && name.endsWith(".js")).map(asset));
}

/**
 * What gzip packed.
 * @param {Uint8Array} bytes
 */
export async function unpacked(bytes) {
  const packed = new Blob([/** @type {Uint8Array<ArrayBuffer>} */ (bytes)]).stream();
  return new Uint8Array(await new Response(packed.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer());
}

/** @param {string} address */
async function fetched(address) {
  const answer = await fetch(address).catch(() => null);
  if (!answer?.ok) throw new FileError(`${address} cannot be loaded${answer ? `: the server answers ${answer.status}` : ""}`);
  return new Uint8Array(await answer.arrayBuffer());
}

/** @param {string} name */
function inlined(name) {
  const text = document.getElementById(`file-${name}`)?.textContent;
  if (text === undefined) throw new FileError(`${name} is missing`);
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}
