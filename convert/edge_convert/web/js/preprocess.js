// From a decoded frame to the pixels of the model, to the byte what `edge_core.preprocess` gives in Python with OpenCV.
//
// The rules, each named R1 to R8 where it is kept:
//   R1  A window is centered by halving what is left over and rounding down, on both axes.
//   R2  The largest window of a shape inside another has whole sides, rounded down, of at least one pixel.
//   R3  A side is halved as often as it then stays at least as long as the target; what no halving could divide is cut
//       off evenly, by R1, before the first.
//   R4  Where both sides are halved, a pixel is (a + b + c + d + 2) >> 2: halves are rounded up.
//   R5  Where one side is halved, a pixel is (a + b) / 2 and halves are rounded to the even number.
//   R6  Linear steps have their taps at (x + 0.5) * scale - 0.5, scale being 1 / (target / length) in double precision,
//       and a weight of 8 bits, halves rounded to the even number; the other tap has 256 less that weight.
//   R7  Taps outside the picture are its border.
//   R8  A row of taps stays in 16 bits, a column of them in 32: the sum is rounded once, by adding a half and cutting off.
// R4 and R5 are OpenCV's INTER_AREA at a factor of two, R6 to R8 its INTER_LINEAR_EXACT.

import { EngineError } from "./errors.js";

/**
 * @typedef {object} Frame A decoded picture.
 * @property {number} width
 * @property {number} height
 * @property {Uint8Array | Uint8ClampedArray} data Row by row, R, G, B and maybe a fourth channel, which is passed over.
 */

/**
 * @typedef {object} InputSpec What a model expects of its input: `input` of its card.
 * @property {number} width
 * @property {number} height
 * @property {"center" | "stretch" | "pad"} crop
 * @property {"RGB" | "BGR"} color_order
 * @property {"halve-linear-exact"} resampling
 * @property {[number, number] | null} [levels] The levels of a deep picture that become 0 and 255.
 */

/**
 * @typedef {object} Window A part of an array of pixels.
 * @property {Uint8Array | Uint8ClampedArray} data
 * @property {number} start Place of its first byte.
 * @property {number} stride Bytes from a row to the next.
 * @property {number} step Bytes from a pixel to the next, 3 or 4.
 * @property {number} width
 * @property {number} height
 */

/** Gray level beside a padded picture. */
export const PAD_LEVEL = 127;

/**
 * Makes of a decoded frame the pixels that the model takes.
 * @param {Frame} frame
 * @param {InputSpec} spec
 * @param {Uint8Array} [out] Where to write, of `height * width * 3` bytes.
 * @returns {Uint8Array} Row by row, three channels in `spec.color_order`; `out` where it was given.
 */
export function preprocess(frame, spec, out = new Uint8Array(spec.width * spec.height * 3)) {
  let source = whole(frame);
  if (out.length !== spec.width * spec.height * 3) {
    throw new EngineError(`out has ${out.length} bytes, not ${spec.width} x ${spec.height} x 3`);
  }
  let target = { data: out, start: 0, stride: 3 * spec.width, step: 3, width: spec.width, height: spec.height };
  if (spec.crop === "center") source = centered(source, ...largestInside(target, source.width, source.height));
  if (spec.crop === "pad") {
    out.fill(PAD_LEVEL);
    target = centered(target, ...largestInside(source, target.width, target.height));
  }
  write(shrunk(source, target.width, target.height), target, spec.color_order);
  return out;
}

/**
 * Brings levels of more than 8 bits to 8: `levels[0]` becomes 0 and `levels[1]` 255, in single precision. What lies
 * outside is clipped, what is no number is 0, halves are rounded to the even number.
 * @param {Uint16Array | Float32Array} picture
 * @param {[number, number]} levels
 * @returns {Uint8Array}
 */
export function in8Bits(picture, [low, high]) {
  const start = Math.fround(low), factor = Math.fround(255 / (high - low));
  return Uint8Array.from(picture, (level) => {
    const scaled = Math.fround(Math.fround(level - start) * factor);
    return Number.isNaN(scaled) ? 0 : roundedToEven(Math.min(255, Math.max(0, scaled)));
  });
}

/**
 * @param {Frame} frame
 * @returns {Window}
 */
function whole({ width, height, data }) {
  const step = data?.length / (width * height);
  if (!(width > 0 && height > 0) || (step !== 3 && step !== 4)) {
    throw new EngineError(`a frame has width x height x 3 or 4 bytes, not ${data?.length} for ${width} x ${height}`);
  }
  return { data, start: 0, stride: step * width, step, width, height };
}

/**
 * R2: width and height of the largest window with the proportions of `shape` that fits.
 * @param {{width: number, height: number}} shape
 * @param {number} width
 * @param {number} height
 * @returns {[number, number]}
 */
function largestInside(shape, width, height) {
  if (width * shape.height >= height * shape.width) {
    return [Math.max(1, Math.floor((height * shape.width) / shape.height)), height];
  }
  return [width, Math.max(1, Math.floor((width * shape.height) / shape.width))];
}

/**
 * R1.
 * @template {Window} W
 * @param {W} window
 * @param {number} width
 * @param {number} height
 * @returns {W}
 */
function centered(window, width, height) {
  const top = (window.height - height) >> 1, left = (window.width - width) >> 1;
  return { ...window, start: window.start + top * window.stride + left * window.step, width, height };
}

/**
 * R3.
 * @param {Window} source
 * @param {number} width
 * @param {number} height
 * @returns {Window}
 */
function shrunk(source, width, height) {
  const across = halvings(source.width, width), down = halvings(source.height, height);
  let window = centered(source, (source.width >> across) << across, (source.height >> down) << down);
  for (let step = 0; step < Math.max(across, down); step++) window = halved(window, step < across, step < down);
  return window.width === width && window.height === height ? window : linear(window, width, height);
}

/**
 * @param {number} length
 * @param {number} goal
 */
function halvings(length, goal) {
  let count = 0;
  while (length >> (count + 1) >= goal) count++;
  return count;
}

/**
 * R4, R5.
 * @param {Window} source Its sides that are halved are even.
 * @param {boolean} across
 * @param {boolean} down
 * @returns {Window}
 */
function halved({ data, start, stride, step, width, height }, across, down) {
  const result = packed(across ? width >> 1 : width, down ? height >> 1 : height), { data: out } = result;
  const pace = across ? 2 * step : step, next = across ? step : stride;
  let to = 0;
  for (let row = 0; row < result.height; row++) {
    let from = start + row * (down ? 2 * stride : stride);
    for (let column = 0; column < result.width; column++, from += pace, to += 3) {
      if (across && down) {
        out[to] = quarter(data, from, step, stride);
        out[to + 1] = quarter(data, from + 1, step, stride);
        out[to + 2] = quarter(data, from + 2, step, stride);
      } else {
        out[to] = halfToEven(data[from] + data[from + next]);
        out[to + 1] = halfToEven(data[from + 1] + data[from + 1 + next]);
        out[to + 2] = halfToEven(data[from + 2] + data[from + 2 + next]);
      }
    }
  }
  return result;
}

/**
 * R4: the mean of a level and of those beside and below it.
 * @param {Uint8Array | Uint8ClampedArray} data
 * @param {number} at
 * @param {number} step
 * @param {number} stride
 */
function quarter(data, at, step, stride) {
  return (data[at] + data[at + step] + data[at + stride] + data[at + stride + step] + 2) >> 2;
}

/**
 * R5: half of a whole number, rounded to the even one.
 * @param {number} sum
 */
function halfToEven(sum) {
  return (sum + ((sum >> 1) & 1)) >> 1;
}

/**
 * R6 to R8.
 * @param {Window} source
 * @param {number} width
 * @param {number} height
 * @returns {Window}
 */
function linear(source, width, height) {
  const result = packed(width, height);
  const across = taps(source.width, width), down = taps(source.height, height);
  const rows = [new Uint16Array(3 * width), new Uint16Array(3 * width)];
  const held = [-1, -1]; // which rows of the source lie in `rows`
  let to = 0;
  for (let row = 0; row < height; row++) {
    const first = down.places[row], second = Math.min(first + 1, source.height - 1), weight = down.weights[row];
    if (held[1] === first) {
      rows.reverse();
      held.reverse();
    }
    for (const [slot, place] of [first, second].entries()) {
      if (held[slot] !== place) tapRow(source, place, across, rows[slot]);
      held[slot] = place;
    }
    const [above, below] = rows;
    // R8: at most 65280 * 256 + 32768, so 32 bits hold it.
    for (let at = 0; at < above.length; at++) {
      result.data[to++] = (above[at] * (256 - weight) + below[at] * weight + 32768) >> 16;
    }
  }
  return result;
}

/**
 * R8: a row of the source at the target's width, in 256ths of a level.
 * @param {Window} source
 * @param {number} row
 * @param {{places: Int32Array, weights: Int32Array}} taps
 * @param {Uint16Array} out
 */
function tapRow({ data, start, stride, step, width }, row, { places, weights }, out) {
  const base = start + row * stride;
  let to = 0;
  for (let column = 0; column < places.length; column++) {
    const left = base + places[column] * step, weight = weights[column];
    const right = places[column] < width - 1 ? left + step : left;
    out[to++] = data[left] * (256 - weight) + data[right] * weight;
    out[to++] = data[left + 1] * (256 - weight) + data[right + 1] * weight;
    out[to++] = data[left + 2] * (256 - weight) + data[right + 2] * weight;
  }
}

/**
 * R6, R7: the first tap of each pixel, and the weight of the second in 256ths.
 * @param {number} length
 * @param {number} goal
 */
function taps(length, goal) {
  const places = new Int32Array(goal), weights = new Int32Array(goal);
  const scale = 1 / (goal / length); // R6: two roundings, as OpenCV inverts the inverse
  for (let index = 0; index < goal; index++) {
    const place = scale * (index + 0.5) - 0.5, floor = Math.floor(place);
    if (floor < 0) continue; // R7: the first pixel alone
    places[index] = Math.min(floor, length - 1);
    weights[index] = roundedToEven((place - floor) * 256);
  }
  return { places, weights };
}

/**
 * R6: halves to the even number.
 * @param {number} value
 */
function roundedToEven(value) {
  const floor = Math.floor(value), rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}

/**
 * @param {number} width
 * @param {number} height
 */
function packed(width, height) {
  return { data: new Uint8Array(3 * width * height), start: 0, stride: 3 * width, step: 3, width, height };
}

/**
 * @param {Window} source
 * @param {Window} target Of the same size.
 * @param {"RGB" | "BGR"} order
 */
function write(source, target, order) {
  const [red, blue] = order === "RGB" ? [0, 2] : [2, 0];
  for (let row = 0; row < target.height; row++) {
    let from = source.start + row * source.stride, to = target.start + row * target.stride;
    for (let column = 0; column < target.width; column++, from += source.step, to += target.step) {
      target.data[to + red] = source.data[from];
      target.data[to + 1] = source.data[from + 1];
      target.data[to + blue] = source.data[from + 2];
    }
  }
}
