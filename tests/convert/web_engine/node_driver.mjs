// Answers requests, a line of JSON each, with lines of JSON: node node_driver.mjs ENGINE [LITERT]
// ENGINE is the folder of the engine, LITERT that of LiteRT.js' WebAssembly; without it, models open but do not run.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import vm from "node:vm";
import { answer } from "./operations.js";

const [folder, litert] = process.argv.slice(2);

/** What the library exports, and what only its own modules use. @param {string} directory */
async function load(directory) {
  const modules = ["selftest.js", "frames.js", "index.js"].map((name) => import(pathToFileURL(path.join(directory, name)).href));
  return Object.assign({}, ...await Promise.all(modules));
}

/** LiteRT.js as `loadLiteRt` gives it: that itself takes a page with scripts. */
async function liteRt() {
  const script = path.resolve(litert, "litert_wasm_compat_internal.js");
  const code = await readFile(script, "utf8");
  Object.assign(globalThis, { require: createRequire(script), __filename: script, __dirname: path.dirname(script) });
  const factory = vm.runInThisContext(`${code};ModuleFactory`);
  const wasmBinary = await readFile(script.replace(/js$/, "wasm"));
  const liteRtWasm = await factory({ wasmBinary, print() {}, printErr() {} });
  const environment = { liteRtEnvironment: liteRtWasm.LiteRtEnvironment.create(null) };
  return { liteRtWasm, getDefaultEnvironment: () => environment };
}

const own = await load(folder);
const idle = { name: "none", open: async () => ({ run: async () => [], close() {} }) };
const runtime = litert ? own.liteRtRuntime(await liteRt()) : idle;
/** @param {string} file */
const read = async (file) => new Uint8Array(await readFile(file));

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  const engine = request.engine ? await load(request.engine) : own;
  process.stdout.write(`${JSON.stringify(await answer(request, { engine, read, runtime }))}\n`);
}
