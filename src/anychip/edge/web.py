"""The form of a WebAssembly library that a browser loads: a module without imports, linked by `ziglang`, and
an example in JavaScript that compares with PyTorch's results in Node.js or a page.

Without `ziglang` the object file and the archive are all there is, and a warning says so.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..emulation.errors import MissingEmulator
from ..emulation.linking import link_module, require_linker

_log = logging.getLogger(__name__)

EXAMPLE = "example.mjs"


def files(
    name: str, object_code: bytes, entry_points: Sequence[str], separate_weights: bool
) -> dict[str, bytes]:
    """`<name>.wasm` and its example; nothing where the linker is missing."""
    try:
        require_linker()
    except MissingEmulator as error:
        _log.warning("%s.wasm is not made: %s", name, error)
        return {}
    with tempfile.TemporaryDirectory(prefix="anychip-web-") as temporary:
        source, made = Path(temporary) / f"{name}.o", Path(temporary) / f"{name}.wasm"
        source.write_bytes(object_code)
        link_module(source, [*entry_points, "__heap_base"], made)
        content = made.read_bytes()
    weights = _WEIGHTS if separate_weights else ""
    return {
        f"{name}.wasm": content,
        EXAMPLE: _EXAMPLE.replace("WEIGHTS", weights).replace("NAME", name).encode(),
    }


_WEIGHTS = """
const weights = place(await content("NAME_weights.bin"));
must(library.NAME_set_weights(context, weights.at, weights.bytes));
"""

_EXAMPLE = """// Runs NAME on the call in report.json and compares with PyTorch's results: node example.mjs
import { readFile } from "node:fs/promises";

const content = async (file) => new Uint8Array(await readFile(new URL(file, import.meta.url)));
const report = JSON.parse(new TextDecoder().decode(await content("report.json")));
const { instance } = await WebAssembly.instantiate(await content("NAME.wasm"), {});
const library = instance.exports;

let end = library.__heap_base.value;
function reserve(bytes) {
  const at = Math.ceil(end / 64) * 64;
  end = at + bytes;
  const missing = end - library.memory.buffer.byteLength;
  if (missing > 0) library.memory.grow(Math.ceil(missing / 65536));
  return { at, bytes };
}
function place(bytes) {
  const memory = reserve(bytes.length);
  new Uint8Array(library.memory.buffer).set(bytes, memory.at);
  return memory;
}
function must(status) {
  if (status) throw new Error(`NAME failed with code ${status}`);
}
const decoded = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

const context = reserve(64).at;
const arena = reserve(library.NAME_arena_size());
must(library.NAME_init(context, arena.at, arena.bytes));
WEIGHTS
const inputs = report.example.inputs.map((text) => place(decoded(text)).at);
const outputs = report.outputs.map((output) => reserve(output.bytes).at);
const state = report.state ? [reserve(report.state.bytes).at] : [];
must(library.NAME_run(context, ...inputs, ...outputs, ...state));

let wrong = false;
report.outputs.forEach((output, k) => {
  const expected = decoded(report.example.outputs[k]).buffer;
  for (const tensor of output.tensors.filter((one) => one.dtype === "float32")) {
    const count = tensor.shape.reduce((product, size) => product * size, 1);
    const ours = new Float32Array(library.memory.buffer, outputs[k] + tensor.byte_offset, count);
    const theirs = new Float32Array(expected, tensor.byte_offset, count);
    let largest = 0, difference = 0;
    for (let i = 0; i < count; i++) {
      largest = Math.max(largest, Math.abs(theirs[i]));
      difference = Math.max(difference, Math.abs(ours[i] - theirs[i]));
    }
    const relative = difference / (largest || 1);
    console.log(`${tensor.name}: largest difference ${relative.toExponential(1)} of the largest element`);
    wrong ||= !(relative <= (report.generation ? 0.1 : 1e-5));
  }
});
if (wrong) process.exitCode = 1;
"""
