// What a page has, a file, a picture or a video, as a frame of the very levels that OpenCV gives on the device.

import { EngineError } from "./errors.js";

/** @typedef {import("./preprocess.js").Frame} Frame */
/** @typedef {Frame | Blob | ImageBitmap | HTMLImageElement | HTMLCanvasElement | OffscreenCanvas | HTMLVideoElement | VideoFrame} Picture */

/**
 * @param {Picture} source
 * @returns {Promise<Frame>}
 */
export async function frameOf(source) {
  if ("data" in source) return source;
  if (source instanceof Blob) return decodePicture(source);
  if ("codedWidth" in source) return frameOfVideo(source);
  if ("videoWidth" in source) return frameOfElement(source);
  const [width, height] = "naturalWidth" in source ? [source.naturalWidth, source.naturalHeight] : [source.width, source.height];
  return drawn(source, width, height);
}

/**
 * Decodes a picture file, turned upright by its EXIF orientation, its levels not converted by its color profile, its
 * transparency dropped: that is what OpenCV does, and what the model was trained on.
 * @param {Blob} file
 * @returns {Promise<ImageData>}
 */
export async function decodePicture(file) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", imageOrientation: "from-image", premultiplyAlpha: "none" });
  } catch {
    throw new EngineError("not a picture that this browser decodes");
  }
  try {
    // By way of a VideoFrame: a canvas multiplies levels with their opacity, and loses what it then rounds.
    const frame = typeof VideoFrame !== "undefined" && await levelsOf(new VideoFrame(bitmap, { timestamp: 0 }));
    return frame ? new ImageData(frame.data, frame.width, frame.height) : drawn(bitmap, bitmap.width, bitmap.height);
  } finally {
    bitmap.close();
  }
}

/**
 * @param {HTMLVideoElement} video
 * @returns {Promise<Frame>}
 */
async function frameOfElement(video) {
  const { videoWidth: width, videoHeight: height } = video;
  if (!width) throw new EngineError("the video has no frame yet");
  const stream = video.srcObject, frame = typeof VideoFrame !== "undefined" && await levelsOf(new VideoFrame(video), stream && rangeOf(stream));
  // A browser that does not tell how a frame is turned gives one of another shape.
  return frame && frame.width === width && frame.height === height ? frame : drawn(video, width, height);
}

/**
 * A frame of a video: from its planes where they are known, since a canvas is up to two levels off.
 * @param {VideoFrame} frame Not closed here.
 * @returns {Promise<Frame>}
 */
export async function frameOfVideo(frame) {
  return await levelsOf(frame.clone()) ?? drawn(frame, frame.displayWidth, frame.displayHeight);
}

/**
 * @param {VideoFrame} frame Closed here.
 * @param {RangeGuess | null} [range] Of the camera that it is from, where it is from one.
 * @returns {Promise<Levels | null>} Null of a format whose levels would have to be guessed.
 */
async function levelsOf(frame, range) {
  try {
    const { format, visibleRect } = frame;
    if (!visibleRect || !format || !["I420", "NV12", "RGBA", "RGBX", "BGRA", "BGRX"].includes(format)) return null;
    const { width, height } = visibleRect, bytes = new Uint8Array(frame.allocationSize());
    const planes = await frame.copyTo(bytes);
    // `rotation` and `flip` are younger than the rest of VideoFrame.
    const { rotation = 0, flip = false } = /** @type {{rotation?: number, flip?: boolean}} */ (/** @type {unknown} */ (frame));
    const yuv = { bytes, planes, width, height };
    const full = () => frame.colorSpace.fullRange ?? range?.see(yuv) ?? false;
    const levels = planes.length > 1 ? rgbOfYuv({ ...yuv, full: full() }) : opaque(yuv, format);
    return turned(levels, rotation / 90, flip);
  } finally {
    frame.close();
  }
}

/**
 * Whether a camera's black is 0, where its browser does not tell: Chromium hands over the planes of a camera that sends
 * JPEG as they are, and says nothing of them.
 */
export class RangeGuess {
  #outside = 0;
  #seen = 0;

  /**
   * Takes a frame into account.
   * @param {Planes} frame
   * @returns {boolean} What is to be believed from this frame on.
   */
  see({ bytes, planes: [{ offset, stride }], width, height }) {
    for (let row = 0; row < height; row += SAMPLED) {
      for (let at = offset + row * stride, end = at + width; at < end; at += SAMPLED) {
        this.#outside += Number(bytes[at] < 16 || bytes[at] > 235);
        this.#seen += 1;
      }
    }
    return this.#outside >= OUTSIDE * this.#seen;
  }
}

/** Every so many columns and rows: 17,000 levels of a 720p frame, a tenth of a millisecond. */
const SAMPLED = 7;

/**
 * Share of the luma, in all that a camera has sent, below 16 and above 235 from which on it is of full range. A camera of
 * video range overshoots where it sharpens. Of 300 photos 73 % reach 1 % in full range; none does in video range, 0.7 %
 * sharpened by half and 5 % sharpened by as much again (benchmarks/experiments/luma_range.py).
 */
const OUTSIDE = 0.01;

/** @type {WeakMap<MediaProvider, RangeGuess>} */
const RANGES = new WeakMap();

/** @param {MediaProvider} stream */
function rangeOf(stream) {
  const range = RANGES.get(stream) ?? new RangeGuess();
  RANGES.set(stream, range);
  return range;
}

/** @typedef {{width: number, height: number, data: Uint8ClampedArray<ArrayBuffer>}} Levels R, G, B and 255. */

/**
 * @typedef {object} Planes The bytes of a frame.
 * @property {Uint8Array} bytes
 * @property {{offset: number, stride: number}[]} planes
 * @property {number} width
 * @property {number} height
 */

/**
 * @param {Planes} picture
 * @param {string} format
 * @returns {Levels}
 */
function opaque({ bytes, planes: [{ offset, stride }], width, height }, format) {
  const [red, blue] = format.startsWith("RGB") ? [0, 2] : [2, 0];
  const data = new Uint8ClampedArray(4 * width * height).fill(255);
  let to = 0;
  for (let row = 0; row < height; row++) {
    for (let from = offset + row * stride, end = from + 4 * width; from < end; from += 4, to += 4) {
      data[to] = bytes[from + red];
      data[to + 1] = bytes[from + 1];
      data[to + 2] = bytes[from + blue];
    }
  }
  return { width, height, data };
}

/**
 * As a player shows it: turned clockwise, then mirrored.
 * @param {Levels} frame
 * @param {number} quarters
 * @param {boolean} [flip]
 * @returns {Levels}
 */
export function turned({ width, height, data }, quarters, flip = false) {
  if (!quarters && !flip) return { width, height, data };
  const [cosine, sine] = [[1, 0], [0, 1], [-1, 0], [0, -1]][quarters], mirror = flip ? -1 : 1;
  const [across, down] = sine ? [height, width] : [width, height];
  // Where the first pixel goes, and where the next one goes from there, along a row and down a column.
  const corner = (cosine < 0 || sine < 0 ? (down - 1) * across : 0) + ((cosine < 0 || sine > 0) !== flip ? across - 1 : 0);
  const forX = mirror * cosine + sine * across, forY = cosine * across - mirror * sine;
  const pixels = new Int32Array(data.buffer), result = new Int32Array(pixels.length);
  let from = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0, to = corner + y * forY; x < width; x++, from++, to += forX) result[to] = pixels[from];
  }
  return { width: across, height: down, data: new Uint8ClampedArray(result.buffer) };
}

/**
 * @typedef {object} Yuv A picture with a chroma sample for four pixels.
 * @property {Uint8Array} bytes
 * @property {{offset: number, stride: number}[]} planes Y, U and V, or Y and both of the others in turns.
 * @property {number} width
 * @property {number} height
 * @property {boolean} full Whether black is 0, as in JPEG, not 16.
 */

/**
 * By OpenCV's fixed-point arithmetic of BT.601: 20 bits behind the point, halves rounded up, each chroma sample for all of
 * its four pixels.
 * @param {Yuv} picture
 * @returns {Levels}
 */
export function rgbOfYuv({ bytes, planes, width, height, full }) {
  const { luma, black, redV, greenU, greenV, blueU } = full ? FULL_RANGE : VIDEO_RANGE;
  const [y, u, v = { offset: u.offset + 1, stride: u.stride }] = planes;
  const step = planes.length > 2 ? 1 : 2;
  const data = new Uint8ClampedArray(4 * width * height);
  let to = 0;
  for (let row = 0; row < height; row++) {
    const line = y.offset + row * y.stride;
    let atU = u.offset + (row >> 1) * u.stride, atV = v.offset + (row >> 1) * v.stride;
    for (let column = 0; column < width; column += 2, atU += step, atV += step) {
      const blue = bytes[atU] - 128, red = bytes[atV] - 128;
      const forRed = redV * red + HALF, forGreen = greenV * red + greenU * blue + HALF, forBlue = blueU * blue + HALF;
      for (let at = line + column, end = line + Math.min(column + 2, width); at < end; at++, to += 4) {
        const level = Math.max(0, bytes[at] - black) * luma;
        data[to] = (level + forRed) >> 20;
        data[to + 1] = (level + forGreen) >> 20;
        data[to + 2] = (level + forBlue) >> 20;
        data[to + 3] = 255;
      }
    }
  }
  return { width, height, data };
}

const HALF = 1 << 19;

/** BT.601, black at 16: 1.164, 1.596, -0.391, -0.813 and 2.018, times 2^20, as OpenCV has them. */
const VIDEO_RANGE = { luma: 1220542, black: 16, redV: 1673527, greenU: -409993, greenV: -852492, blueU: 2116026 };

/** JFIF, black at 0: 1, 1.402, -0.344136, -0.714136 and 1.772, times 2^20. */
const FULL_RANGE = { luma: 1 << 20, black: 0, redV: 1470104, greenU: -360853, greenV: -748826, blueU: 1858077 };

/**
 * @param {CanvasImageSource} picture
 * @param {number} width
 * @param {number} height
 * @returns {ImageData}
 */
function drawn(picture, width, height) {
  const canvas = typeof OffscreenCanvas === "undefined" ? document.createElement("canvas") : new OffscreenCanvas(width, height);
  Object.assign(canvas, { width, height });
  // In the processor's memory: a GPU's canvas may round otherwise.
  const context = /** @type {CanvasRenderingContext2D | null} */ (canvas.getContext("2d", { willReadFrequently: true }));
  if (!context) throw new EngineError(`this browser has no room for a picture of ${width} x ${height}`);
  context.drawImage(picture, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}
