#!/usr/bin/env bash
# Overflow of 8-bit floats: each library has another rule, and ONNX Runtime's own is not even.
# Versions: torch 2.13.0, ml_dtypes 0.6.0, onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6.
# PyTorch saturates float8_e4m3fn at 448, infinity too, while its float8_e5m2 goes to infinity and its FNUZ kinds to
# NaN; ml_dtypes gives NaN for e4m3fn. ONNX Runtime's Cast with saturate=0 gives NaN for 465 and 500 to e4m3fn but 448
# for 480 between them, and NaN for 61440 to e5m2, where ONNX's reference gives infinity. Convert with one library.
# Seen (e4m3fn of 465 480 500 inf; e5m2 of 61440 65536):
#   torch        448 448 448 448   inf inf
#   ml_dtypes    nan nan nan nan   inf inf
#   onnxruntime, saturate=0   nan 448 nan nan   nan inf
#   onnx reference, saturate=0   nan nan nan nan   inf inf
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 ml_dtypes==0.6.0 onnx==1.23.2 \
    onnxruntime==1.32.0 numpy==2.4.6
"$work/venv/bin/python" - <<'END'
import ml_dtypes
import numpy as np
import onnxruntime
import torch
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

KINDS = {"e4m3fn": [465, 480, 500, np.inf], "e5m2": [61440, 65536]}


def model(kind):
    to = getattr(TensorProto, f"FLOAT8{kind.upper()}")
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [None]) for name in "xy")
    nodes = [helper.make_node("Cast", ["x"], ["small"], to=to, saturate=0),
             helper.make_node("Cast", ["small"], ["y"], to=TensorProto.FLOAT)]
    return helper.make_model(helper.make_graph(nodes, "g", [x], [y]), ir_version=9,
                             opset_imports=[helper.make_opsetid("", 19)])


def by_onnxruntime(kind, x):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model(kind).SerializeToString(), options).run(None, {"x": x})[0]


WAYS = {
    "torch": lambda kind, x: torch.from_numpy(x).to(getattr(torch, f"float8_{kind}")).float().numpy(),
    "ml_dtypes": lambda kind, x: x.astype(getattr(ml_dtypes, f"float8_{kind}")).astype(np.float32),
    "onnxruntime": by_onnxruntime,
    "onnx": lambda kind, x: np.asarray(ReferenceEvaluator(model(kind)).run(None, {"x": x})[0], np.float32),
}
nan, inf = np.nan, np.inf
SEEN = {
    "torch": [448, 448, 448, 448, inf, inf],
    "ml_dtypes": [nan, nan, nan, nan, inf, inf],
    "onnxruntime": [nan, 448, nan, nan, nan, inf],
    "onnx": [nan, nan, nan, nan, inf, inf],
}
for name, convert in WAYS.items():
    got = np.concatenate([convert(kind, np.array(values, np.float32)) for kind, values in KINDS.items()])
    print(name, got)
    assert np.array_equal(got, SEEN[name], equal_nan=True)
END
