"""Blocks of thousands of instructions are divided, with the same results; shorter ones are left alone."""

from __future__ import annotations

import ctypes
import re

import llvmlite.binding as llvm

from anychip.compiler import targets
from anychip.compiler.targets import long_blocks, machine

llvm.initialize_native_target()
llvm.initialize_native_asmprinter()


def chain(length: int, entry: str = "", times: int = 3) -> str:
    """LLVM IR of a loop of one block with `length` dependent additions, and a switch over several lines."""
    steps = "\n".join(f"  %s{k + 1} = add i64 %s{k}, {k % 7}" for k in range(length))
    start = entry.rstrip(":") or "0"
    return f"""define void @kernel(ptr noalias readonly %args, i64 %n) {{
{entry}
  br label %loop

loop:
  %i = phi i64 [ 0, %{start} ], [ %next, %loop ]
  %s0 = phi i64 [ %n, %{start} ], [ %s{length}, %loop ]
{steps}
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, {times}
  br i1 %more, label %loop, label %end

end:
  switch i64 %s{length}, label %other [
    i64 0, label %done
    i64 1, label %done
  ]

other:
  %total = phi i64 [ %s{length}, %end ]
  store i64 %total, ptr %args, align 8
  br label %done

done:
  ret void
}}
"""


def lengths(text: str) -> list[int]:
    """Instructions of each block."""
    return [len(block.splitlines()) for block in re.split(r"^[\w.]+:.*$", text, flags=re.MULTILINE)]


def run(text: str, n: int) -> int:
    target = targets.host()
    module = llvm.parse_assembly(text)
    module.verify()
    engine = llvm.create_mcjit_compiler(
        module, llvm.Target.from_triple(target.triple).create_target_machine(opt=0)
    )
    engine.finalize_object()
    cell = ctypes.c_int64(-1)
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)(engine.get_function_address("kernel"))
    function(ctypes.addressof(cell), n)
    return cell.value


def test_a_long_block_is_divided_and_computes_the_same() -> None:
    length = 3 * long_blocks.LONG
    for entry in ("", "entry:"):
        text = chain(length, entry)
        parts = long_blocks.divide_long_blocks(text)
        assert max(lengths(parts)) <= 2 * long_blocks.PART + 3 < max(lengths(text))
        assert run(parts, 5) == 5 + 3 * sum(k % 7 for k in range(length))


def test_a_short_block_stays_as_it_is() -> None:
    text = chain(long_blocks.LONG - 100)
    assert long_blocks.divide_long_blocks(text) is text


def test_functions_beside_a_long_one_stay_as_they_are() -> None:
    short = "define i64 @short(i64 %x) {\n  ret i64 %x\n}\n"
    parts = long_blocks.divide_long_blocks(chain(long_blocks.LONG + 100) + short)
    assert parts.endswith(short)


def test_machine_code_is_made_of_the_parts() -> None:
    """The passes before leave the additions (they are of values that the processor loads)."""
    steps = "\n".join(
        f"  %v{k} = load volatile i64, ptr %args, align 8\n  store volatile i64 %v{k}, ptr %args, align 8"
        for k in range(long_blocks.LONG)
    )
    text = f"define void @kernel(ptr %args) {{\n{steps}\n  ret void\n}}\n"
    parts = str(machine._prepared(text, targets.host(), optimize=True))
    assert parts.count("icmp eq ptr %args, null") == 2 * long_blocks.LONG // long_blocks.PART - 1
    assert machine.emit_object(text, targets.host())
