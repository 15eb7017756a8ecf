// Runs a WASI program in the V8 of Node.js: node --no-warnings webassembly.mjs FILE. The program sees the
// current folder as its own, and standard output.
import { readFile } from "node:fs/promises";
import { WASI } from "node:wasi";

const file = process.argv[2];
const wasi = new WASI({ version: "preview1", args: [file], preopens: { ".": "." }, returnOnExit: true });
const { instance } = await WebAssembly.instantiate(await readFile(file), wasi.getImportObject());
process.exitCode = wasi.start(instance);
