#!/usr/bin/env bash
# Two plain loads around a wait become one, so a flag read by a volatile load hands nothing over.
# Versions: triton 3.9.0.
# A program waits in a loop until `tl.load(flag, volatile=True)` is no longer 0, then reads again what another
# program has written. Triton's common subexpression elimination takes a volatile load for one that only reads,
# sees no write between the two plain loads, and replaces the second by the first: `after - before` is 0 by
# construction, and the code for the GPU loads the data not even once. With an atomic in the loop
# (`tl.atomic_add(flag, 0)`) both loads stay. Wait by an atomic, or make the second load volatile as well.
# Seen:
#   volatile load in the loop: one load of the data in TTIR, none in PTX
#   atomic in the loop: two loads of the data in TTIR
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check triton==3.9.0
cat > "$work/handover.py" <<'END'
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler.compiler import ASTSource


@triton.jit
def by_volatile_load(data, flag, out):
    before = tl.load(data)
    while tl.load(flag, volatile=True) == 0:
        pass
    after = tl.load(data)
    tl.store(out, after - before)


@triton.jit
def by_atomic(data, flag, out):
    before = tl.load(data)
    while tl.atomic_add(flag, 0) == 0:
        pass
    after = tl.load(data)
    tl.store(out, after - before)


def loads(kernel):
    source = ASTSource(kernel, dict.fromkeys(("data", "flag", "out"), "*i32"), {})
    made = triton.compile(source, target=GPUTarget("cuda", 90, 32))
    return made.asm["ttir"].count("tt.load %data"), made.asm["ptx"].count("ld.global")


volatile, atomic = loads(by_volatile_load), loads(by_atomic)
print("loads of the data, in TTIR and in PTX: volatile flag", volatile, "atomic flag", atomic)
assert volatile == (1, 0)
assert atomic[0] == 2
END
TRITON_CACHE_DIR="$work/cache" "$work/venv/bin/python" "$work/handover.py" 2>/dev/null
