// A ZIP archive of files that are compressed already (APPNOTE.TXT 6.3.10: stored, names in UTF-8).

import { crc32 } from "../js/container.js";

const STORED_UTF8 = 0x0800;
const MAX_BYTES = 0xffff_ffff;
const MAX_FILES = 0xffff;

/** @param {Date} time As DOS has it: two seconds fine, from 1980 on. */
function dosTime(time) {
  const date = ((Math.max(1980, time.getFullYear()) - 1980) << 9) | ((time.getMonth() + 1) << 5) | time.getDate();
  return (date << 16) | (time.getHours() << 11) | (time.getMinutes() << 5) | (time.getSeconds() >> 1);
}

/**
 * @param {{name: string, bytes: Uint8Array, time: Date}[]} files
 * @returns {Blob}
 */
export function zipped(files) {
  if (files.length > MAX_FILES) throw new Error(`an archive takes ${MAX_FILES} pictures`);
  /** @type {Uint8Array<ArrayBuffer>[]} */
  const parts = [];
  /** @type {Uint8Array<ArrayBuffer>[]} */
  const directory = [];
  let offset = 0;
  for (const { name, bytes, time } of files) {
    const path = new TextEncoder().encode(name);
    const shared = header(26, [
      [2, 20], [2, STORED_UTF8], [2, 0], [4, dosTime(time)], [4, crc32(bytes)], [4, bytes.length], [4, bytes.length],
      [2, path.length], [2, 0],
    ]);
    parts.push(header(4, [[4, 0x0403_4b50]]), shared, path, /** @type {Uint8Array<ArrayBuffer>} */ (bytes));
    directory.push(
      header(6, [[4, 0x0201_4b50], [2, 20]]), shared,
      header(14, [[2, 0], [2, 0], [2, 0], [4, 0], [4, offset]]), path,
    );
    offset += 30 + path.length + bytes.length;
    if (offset > MAX_BYTES) throw new Error("an archive takes 4 GB; export and delete some pictures first");
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = header(22, [
    [4, 0x0605_4b50], [2, 0], [2, 0], [2, files.length], [2, files.length], [4, size], [4, offset], [2, 0],
  ]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

/**
 * @param {number} length
 * @param {[2 | 4, number][]} fields Width in bytes and value of each, little-endian.
 */
function header(length, fields) {
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  let place = 0;
  for (const [width, value] of fields) {
    if (width === 2) view.setUint16(place, value, true);
    else view.setUint32(place, value >>> 0, true);
    place += width;
  }
  return bytes;
}
