#!/usr/bin/env bash
# Inductor keeps no compiled graph where its own entry is given a table of decompositions.
# Version: torch 2.13.0 (2.15.0 does the same).
# `compile_fx(graph, inputs, decompositions=table)` compiles rightly, but the table is pickled into the key of the
# cache and its operators have no stable form there ("Cannot produce stable cache key for unpicklable type
# pybind11_detail_function_record..."). The cache is bypassed without a warning, so each process compiles anew, even
# with Inductor's own table. Give a dict whose __reduce__ names a function of a module that makes it.
# Seen:
#   no table {'hit': 0, 'miss': 1, 'bypass': 0}
#   the same table, given {'hit': 0, 'miss': 0, 'bypass': 1}
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
TORCHINDUCTOR_CACHE_DIR="$work/cache" "$work/venv/bin/python" - <<'END'
import torch
from torch._dynamo.utils import counters
from torch._inductor.compile_fx import compile_fx
from torch._inductor.decomposition import select_decomp_table


def run(name, factor, **keywords):
    def backend(graph, inputs):
        return compile_fx(graph, inputs, **keywords)

    torch._dynamo.reset()
    counters.clear()
    torch.compile(lambda x: torch.softmax(x, -1) * factor, backend=backend)(torch.ones(8, 8))
    seen = {key: counters["inductor"][f"fxgraph_cache_{key}"] for key in ("hit", "miss", "bypass")}
    print(name, seen)
    return seen


stock = run("no table", 2)
given = run("the same table, given", 3, decompositions=select_decomp_table())
raise SystemExit(not (stock["bypass"] == 0 and given["bypass"] == 1))
END
