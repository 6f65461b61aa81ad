// LiteRT.js (`@litertjs/core` 2.5, Apache-2.0) as the runtime of a `Classifier`. It is not imported here: whoever has
// loaded it hands it in, so that it comes from where the page has it.

import { EngineError } from "./errors.js";

/**
 * @typedef {object} RuntimeModel A model, ready to run.
 * @property {(input: Uint8Array | Float32Array) => Promise<Uint8Array[]>} run Bytes of every output, copied.
 * @property {() => void} close Frees it.
 */

/**
 * @typedef {object} Runtime What runs models.
 * @property {string} name Name and version.
 * @property {(model: Uint8Array) => Promise<RuntimeModel>} open
 */

/**
 * What `loadLiteRt` of `@litertjs/core` gives. Its own `loadAndCompile` refuses outputs in int8, which the features of an
 * 8-bit model are, so the WebAssembly is called by the functions that that calls.
 * @typedef {{liteRtWasm: any, getDefaultEnvironment: () => {liteRtEnvironment: object}}} LiteRt
 */

/**
 * @param {LiteRt} liteRt
 * @param {string} [version] Of `@litertjs/core`.
 * @returns {Runtime}
 */
export function liteRtRuntime(liteRt, version = "2.5.3") {
  return { name: `LiteRT.js ${version}`, open: (model) => open(liteRt, model) };
}

/**
 * @param {LiteRt} liteRt
 * @param {Uint8Array} bytes
 * @returns {Promise<RuntimeModel>}
 */
async function open(liteRt, bytes) {
  const wasm = liteRt.liteRtWasm, environment = liteRt.getDefaultEnvironment(), native = environment.liteRtEnvironment;
  const memory = wasm._malloc(bytes.length); // the model is run from there
  wasm.HEAPU8.set(bytes, memory);
  /** @type {{delete: () => void}[]} */
  const made = [];
  const close = () => {
    made.splice(0).reverse().forEach((object) => object.delete());
    wasm._free(memory);
  };
  try {
    const model = kept(wasm.loadModel(native, memory, bytes.length));
    // Not on the GPU, which LiteRT.js takes by default where there is one: 8-bit models give wrong scores there.
    const options = { environment, accelerator: "wasm", cpuOptions: { numThreads: 1 }, gpuOptions: {}, webNNOptions: {} };
    const compiled = kept(await wasm.compileModel(native, model, options));
    const type = kept(model.getInputTensorType(0, 0));
    const input = kept(wasm.LiteRtTensorBuffer.createManaged(native, wasm.LiteRtTensorBufferType.HOST_MEMORY, type, type.bytes()));
    return { run, close };

    /** @param {Uint8Array | Float32Array} values */
    async function run(values) {
      if (values.byteLength !== input.packedSize()) throw new EngineError(`the model takes ${input.packedSize()} bytes, not ${values.byteLength}`);
      const place = input.lock(wasm.LiteRtTensorBufferLockMode.WRITE);
      wasm.HEAPU8.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), place);
      input.unlock();
      const outputs = await compiled.run(0, [input]);
      return outputs.map((/** @type {any} */ output) => taken(wasm, output));
    }
  } catch (error) {
    close();
    throw new EngineError(`LiteRT.js cannot load the model: ${error instanceof Error ? error.message : error}`);
  }

  /** @param {any} object */
  function kept(object) {
    made.push(object);
    return object;
  }
}

/**
 * The bytes of an output, which is freed.
 * @param {any} wasm
 * @param {any} output
 * @returns {Uint8Array}
 */
function taken(wasm, output) {
  const place = output.lock(wasm.LiteRtTensorBufferLockMode.READ);
  const bytes = wasm.HEAPU8.slice(place, place + output.packedSize());
  output.unlock();
  output.delete();
  return bytes;
}
