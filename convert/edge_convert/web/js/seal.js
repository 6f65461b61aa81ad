// The seal at the end of a file: one digest over every byte before it, signed or not; see `edge_core.artifact.seal`.

import { EngineError } from "./errors.js";

const NAME = "edge-mobilenet seal ";
const FORM = /^edge-mobilenet seal 1 (?:ed25519:([0-9a-f]{64}) ([0-9a-f]{128}) )?sha256:([0-9a-f]{64})$/;
const LONGEST = 512;

/**
 * @typedef {object} Seal
 * @property {string} digest SHA-256 that names the file.
 * @property {boolean} checked Whether every byte was held against it; false where the page has no `crypto.subtle`.
 * @property {string | null} signedBy Public key, hexadecimal, that the file names as its signer's.
 * @property {boolean} signatureChecked Whether the signature was found to be by that key.
 */

/** Whether this page can check digests: browsers offer it over HTTPS and on this machine. */
export function canHash() {
  return Boolean(globalThis.crypto?.subtle);
}

/**
 * @param {Uint8Array | Uint8ClampedArray} bytes
 * @returns {Promise<string>} SHA-256, hexadecimal.
 */
export async function sha256(bytes) {
  return hex(await hashed(bytes));
}

/**
 * Holds a file against its seal.
 * @param {Uint8Array} bytes
 * @param {string} [key] Public key, hexadecimal, that must have signed it; by default a signature need only be consistent.
 * @returns {Promise<Seal | null>} Null of a file that was never sealed.
 * @throws {EngineError} With the stage, `digest` or `signature`.
 */
export async function checkSeal(bytes, key = "") {
  const seal = await readSeal(bytes);
  if (!key) return seal;
  if (!seal?.signedBy) throw new EngineError("it is not signed, and a signature is asked for; get a signed one from its maker", "signature");
  if (seal.signedBy !== key.toLowerCase()) throw new EngineError(`it is signed with the key ${seal.signedBy}, not with ${key} as is asked for; get it from its maker`, "signature");
  if (!seal.signatureChecked) throw new EngineError("this browser cannot check its signature: it takes HTTPS, and a browser with Ed25519", "signature");
  return seal;
}

/**
 * @param {Uint8Array} bytes
 * @returns {Promise<Seal | null>}
 */
async function readSeal(bytes) {
  const tail = String.fromCharCode(...bytes.subarray(Math.max(0, bytes.length - LONGEST)));
  const place = tail.lastIndexOf(NAME);
  if (place < 0) return null;
  const found = FORM.exec(tail.slice(place));
  if (!found) throw new EngineError("its seal is damaged, or of a newer edge-mobilenet; copy the file again, or upgrade", "digest");
  const [, key = null, signature, digest] = found;
  if (!canHash()) return { digest, checked: false, signedBy: key, signatureChecked: false };
  const sum = await sha256(bytes.subarray(0, bytes.length - digest.length));
  if (sum !== digest) {
    throw new EngineError(`damaged or changed: its bytes have the SHA-256 ${sum.slice(0, 16)}..., not the sealed ${digest.slice(0, 16)}...; copy the file again`, "digest");
  }
  const content = bytes.subarray(0, Math.max(0, bytes.length - LONGEST) + place);
  const right = key === null ? null : await isSignedBy(key, signature, content);
  if (right === false) throw new EngineError(`its signature is not by the key ${key} that it names; get it from its maker`, "signature");
  return { digest, checked: true, signedBy: key, signatureChecked: right === true };
}

/**
 * @param {string} key
 * @param {string} signature
 * @param {Uint8Array} content All before the seal.
 * @returns {Promise<boolean | null>} Null where this browser has no Ed25519.
 */
async function isSignedBy(key, signature, content) {
  const head = new TextEncoder().encode(`${NAME}1\0`);
  const message = new Uint8Array(head.length + 32);
  message.set(head);
  message.set(await hashed(content), head.length);
  let imported;
  try {
    imported = await crypto.subtle.importKey("raw", unhex(key), { name: "Ed25519" }, false, ["verify"]);
  } catch (error) {
    if (/** @type {Error} */ (error).name === "NotSupportedError") return null;
    return false; // no point on the curve
  }
  return crypto.subtle.verify({ name: "Ed25519" }, imported, unhex(signature), message);
}

/** @param {Uint8Array | Uint8ClampedArray} bytes */
async function hashed(bytes) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", /** @type {BufferSource} */ (bytes)));
}

/** @param {Uint8Array} bytes */
function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {string} text */
function unhex(text) {
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}
