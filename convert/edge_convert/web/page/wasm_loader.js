// The one import of LiteRT.js, answered: runs the script that Emscripten made and gives it the WebAssembly that the page
// has loaded and checked. LiteRT.js' own helper would fetch it again, by a name, uncompressed.

/** @type {{wasm: Uint8Array, script: string} | null} */
let given = null;

/**
 * To be called before `loadLiteRt`.
 * @param {Uint8Array} wasm The WebAssembly.
 * @param {string} script Address of the script that defines `ModuleFactory`; empty where the page has it inline.
 */
export function provide(wasm, script) {
  given = { wasm, script };
}

/**
 * @template T
 * @param {new (module: object) => T} Library
 * @returns {Promise<T>}
 */
export async function createWasmLib(Library) {
  if (!given) throw new Error("provide() was not called");
  const page = /** @type {{ModuleFactory?: (options: object) => Promise<object>}} */ (/** @type {unknown} */ (globalThis));
  if (!page.ModuleFactory) await run(given.script);
  if (!page.ModuleFactory) throw new Error("the script of LiteRT.js did not run");
  const { wasm } = given;
  given = null; // 9 MB
  return new Library(await page.ModuleFactory({ wasmBinary: wasm, printErr }));
}

/** What the runtime tells of itself at each start is no error. @param {string} line */
function printErr(line) {
  if (!/^(INFO|WARNING):/.test(line)) console.error(line);
}

/** @param {string} address */
function run(address) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.addEventListener("load", resolve);
    script.addEventListener("error", () => reject(new Error(`${address} cannot be loaded`)));
    script.src = address;
    document.head.append(script);
  });
}
