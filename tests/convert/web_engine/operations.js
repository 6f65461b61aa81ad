// What tests ask of the engine, in node and in a browser alike: `answer` gives back what JSON can hold.

/**
 * @param {any} request `do` names the operation.
 * @param {{engine: any, read: (path: string) => Promise<Uint8Array>, runtime: any}} around
 */
export async function answer(request, around) {
  try {
    return { value: await operations[request.do](request, around) };
  } catch (error) {
    if (!(error instanceof around.engine.EngineError)) throw error;
    return { error: error.message, stage: error.stage };
  }
}

/** @type {Record<string, (request: any, around: any) => Promise<unknown> | unknown>} */
const operations = {
  /** SHA-256 of the model's pixels of each frame; they lie one after the other in a file. */
  async pixels({ path, cases }, { engine, read }) {
    const bytes = await read(path), sums = [];
    let start = 0;
    for (const { width, height, step, spec } of cases) {
      const data = bytes.subarray(start, (start += width * height * step));
      sums.push(await engine.sha256(engine.preprocess({ width, height, data }, spec)));
    }
    return sums;
  },

  levels({ kind, values, levels }, { engine }) {
    const Values = kind === "uint16" ? Uint16Array : Float32Array;
    return Array.from(engine.in8Bits(Values.from(values, Number), levels));
  },

  /** SHA-256 of the R, G, B, A of a picture with planes. */
  async yuv({ path, picture }, { engine, read }) {
    return engine.sha256(engine.rgbOfYuv({ bytes: await read(path), ...picture }).data);
  },

  /** The R, G, B, A of a picture with planes. */
  async yuvLevels({ path, picture }, { engine, read }) {
    return Array.from(engine.rgbOfYuv({ bytes: await read(path), ...picture }).data);
  },

  /** Whether the self-test finds the colors of a camera's planes right. */
  hasColorsOfVideo: (_, { engine }) => engine.hasColorsOfVideo(),

  /** Whether the self-test finds that no rule of preprocessing is broken. */
  hasPixelsOfPython: (_, { engine }) => engine.hasPixelsOfPython(),

  /** The frames that it makes up for it, and what it takes for their pixels. */
  madeUpFrames(_, { engine }) {
    const frames = engine.MADE_UP_FRAMES.map((/** @type {any} */ [{ data, ...size }, spec]) => ({ ...size, spec, data: Array.from(data) }));
    return { frames, pixels: engine.PIXELS_OF_PYTHON };
  },

  /** Whether a camera is believed to be of full range after each frame, given its luma alone. */
  range({ frames }, { engine }) {
    const range = new engine.RangeGuess();
    return frames.map((/** @type {number[][]} */ rows) => range.see({
      bytes: Uint8Array.from(rows.flat()), planes: [{ offset: 0, stride: rows[0].length }], width: rows[0].length, height: rows.length,
    }));
  },

  /** The pixels of a picture that is turned. */
  turned({ frame, quarters, flip }, { engine }) {
    const { width, height, data } = engine.turned({ ...frame, data: Uint8ClampedArray.from(frame.data) }, quarters, flip);
    return { width, height, data: Array.from(data) };
  },

  /** What is known of a file once it is open. */
  async open({ path, key, deep }, { engine, read, runtime }) {
    const classifier = await engine.Classifier.open(await read(path), { runtime, key, deep });
    const { labels, input, seal, detector, quantized } = classifier;
    classifier.close();
    return { labels, input, seal, quantized, tensors: detector && detector.tensors };
  },

  /** What a file gives for frames, which lie one after the other in another. */
  async scores({ path, frames, cases }, { engine, read, runtime }) {
    const classifier = await engine.Classifier.open(await read(path), { runtime });
    const bytes = await read(frames), results = [];
    let start = 0;
    for (const { width, height } of cases) {
      const data = bytes.subarray(start, (start += width * height * 3));
      const { scores, ...result } = await classifier.classify({ width, height, data }, { count: 3 });
      results.push({ ...result, scores: Array.from(scores) });
    }
    classifier.close();
    return results;
  },

  /** What a file gives for pictures, decoded by the browser. */
  async pictures({ path, pictures }, { engine, read, runtime }) {
    const classifier = await engine.Classifier.open(await read(path), { runtime });
    const results = [];
    for (const picture of pictures) {
      const frame = await engine.decodePicture(new Blob([await read(picture)]));
      const step = frame.data.length / (frame.width * frame.height);
      const rgb = frame.data.filter((/** @type {number} */ _, /** @type {number} */ index) => index % step < 3);
      const pixels = engine.preprocess(frame, classifier.input);
      const { scores, familiarity } = await classifier.look(pixels);
      results.push({ decoded: await engine.sha256(rgb), pixels: await engine.sha256(pixels), scores: Array.from(scores), familiarity });
    }
    classifier.close();
    return results;
  },

  /** The self-test; where there is no decoder, `decoded` are the golden frames: width, height, and R, G, B in a file. */
  async selfTest({ path, decoded }, { engine, read, runtime }) {
    const classifier = await engine.Classifier.open(await read(path), { runtime });
    const frames = decoded && await Promise.all(decoded.map(async (/** @type {any} */ one) => ({ ...one, data: await read(one.path) })));
    return engine.selfTest(classifier, frames && (() => frames.shift()));
  },

  /** What a decider says to each step. */
  decide({ labels, rule, steps }, { engine }) {
    const decider = new engine.Decider(labels, rule);
    return steps.map((/** @type {any} */ { do: what = "update", now, scores, known, labels: others }) => {
      if (what === "update") return decider.update(Float32Array.from(scores, Number), now, { known });
      const events = what === "relabel" ? decider.relabel(others, now) : decider[what](now);
      return { decision: decider.decision, events };
    });
  },
};
