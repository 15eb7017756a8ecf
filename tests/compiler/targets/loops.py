"""LLVM IR of small vector loops, for any vector width, that the tests of this folder compile."""

from __future__ import annotations


def multiply_add_loop(lanes: int, *, fused: bool = True, scalable_bits: int = 0) -> str:
    """`o[i] = x[i] * y[i] + o[i]` over `lanes` f32 at a time, as one fused operation or as two."""
    units = scalable_bits // 128
    attributes = f"vscale_range({units},{units}) " if units else ""
    vector, suffix = (f"<{lanes} x float>", f"v{lanes}f32") if lanes > 1 else ("float", "f32")
    if fused:
        body = f"%d = call {vector} @llvm.fma.{suffix}({vector} %a, {vector} %b, {vector} %c)"
    else:
        body = f"%m = fmul {vector} %a, %b\n  %d = fadd {vector} %m, %c"
    return f"""
declare {vector} @llvm.fma.{suffix}({vector}, {vector}, {vector})

define void @multiply_add(ptr %x, ptr %y, ptr %o, i64 %n) {attributes}{{
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
  %px = getelementptr float, ptr %x, i64 %i
  %py = getelementptr float, ptr %y, i64 %i
  %po = getelementptr float, ptr %o, i64 %i
  %a = load {vector}, ptr %px, align 4
  %b = load {vector}, ptr %py, align 4
  %c = load {vector}, ptr %po, align 4
  {body}
  store {vector} %d, ptr %po, align 4
  %next = add i64 %i, {lanes}
  %more = icmp slt i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret void
}}
"""


INLINED_CALL = """
define internal i32 @callee(i32 %x) alwaysinline {
  %y = mul i32 %x, 3
  ret i32 %y
}
define i32 @caller(i32 %x) {
  %slot = alloca i32
  store i32 %x, ptr %slot
  %v = load i32, ptr %slot
  %r = call i32 @callee(i32 %v)
  ret i32 %r
}
"""
"""A function that must be inlined and a stack slot that must become a register."""

F16_ROUND_TRIP = """
define void @double_f16(ptr %p) {
  %a = load half, ptr %p
  %b = fpext half %a to float
  %c = fadd float %b, %b
  %d = fptrunc float %c to half
  store half %d, ptr %p
  ret void
}
"""
"""An f16 is doubled in f32."""
