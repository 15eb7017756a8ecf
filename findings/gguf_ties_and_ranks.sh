#!/usr/bin/env bash
# Weights of a GGUF file: ties round away from zero, and ranks are written that no loader takes.
# Versions: gguf 0.19.0, numpy 2.4.6.
# `gguf.quants.quantize` to Q8_0 rounds a tie away from zero, where NumPy, PyTorch and ONNX round it to even:
# two converters of the same weights differ in single codes. And `GGUFWriter` writes a tensor of five
# dimensions without a word, though the format's own readers have room for four. Compare codes with the
# format's rounding, and fold a fifth dimension before writing.
# Seen:
#   0.5, 1.5, 2.5, -0.5, -1.5, -2.5 at scale 1: codes 1 2 3 -1 -2 -3 (to even: 0 2 2 0 -2 -2)
#   a tensor of five dimensions is written and read back
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check gguf==0.19.0 numpy==2.4.6
"$work/venv/bin/python" - "$work" <<'END'
import sys

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, quants

block = np.zeros(32, np.float32)
block[0] = 127  # The scale of the block is 1.
block[1:7] = ties = np.array([0.5, 1.5, 2.5, -0.5, -1.5, -2.5], np.float32)
codes = quants.quantize(block, GGMLQuantizationType.Q8_0)[3:9].view(np.int8)
print("codes", codes, "to even", np.rint(ties))
assert codes.tolist() == [1, 2, 3, -1, -2, -3]

path = sys.argv[1] + "/model.gguf"
writer = GGUFWriter(path, "test")
writer.add_tensor("weight", np.zeros((1, 2, 3, 4, 5), np.float32))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
shape = GGUFReader(path).tensors[0].shape.tolist()
print("shape", shape)
assert shape == [5, 4, 3, 2, 1]
END
