"""The C header of a library: its types, its functions, and what the caller must give."""

from __future__ import annotations

from . import watchdog
from .context import ARENA_ALIGNMENT, ARGUMENT_ALIGNMENT, MemorySizes, Status, state_places
from .exported import ExportedFunction
from .weights import HEADER_BYTES

_MEANINGS: dict[Status, str] = {
    Status.OK: "all is well",
    Status.NULL_ARGUMENT: "a pointer is NULL, or a number is not positive",
    Status.MISALIGNED: "memory does not begin at the multiple that it must",
    Status.ARENA_TOO_SMALL: "the arena has fewer bytes than needed",
    Status.WEIGHTS_MISSING: "the weights were not set",
    Status.WEIGHTS_WRONG: "the weights are not those of this library",
    Status.OUT_OF_RANGE: "an input is not below the number that it must be below, or is negative",
    Status.ASSERTION: "an assertion of a kernel failed: see the context",
}


def header(
    exported: ExportedFunction,
    chip: str,
    memory: MemorySizes,
    weight_bytes: int,
    embedded: bool,
    guarded: bool,
) -> str:
    """The text of `<name>.h`; `guarded`: with the watchdog."""
    name, inputs, outputs = exported.name, exported.inputs, exported.outputs
    upper, state = name.upper(), exported.state
    separate = weight_bytes and not embedded
    parameters = "".join(
        [f",\n    const {x.c_type} *{x.name}" for x in inputs]
        + [f",\n    {x.c_type} *{x.name}" for x in outputs]
        + ([f",\n    void *{state}"] if state else [])
    )
    sizes = "".join(f"#define {upper}_{x.name.upper()}_BYTES {x.size}\n" for x in (*inputs, *outputs))
    if state:
        sizes += f"#define {upper}_{state.upper()}_BYTES {state_places(exported.launches).bytes}\n"
    statuses = "\n".join(
        f"    {upper}_{status.name} = {int(status)}, /* {_MEANINGS[status]} */" for status in Status
    )
    weights_function = (
        f"""
/* Says where the content of {name}_weights.bin lies, all {HEADER_BYTES + weight_bytes} bytes of it, from a
   multiple of {ARENA_ALIGNMENT} on. It is read, never written, and may be shared by contexts. */
int {name}_set_weights({name}_context *context, const void *file, size_t bytes);
"""
        if separate
        else ""
    )
    outputs_and_state = f"outputs and the {state}" if state else "outputs"
    return f"""/* {name}: made by Anychip for {chip}.

   The caller gives all memory; nothing is allocated, and nothing but the context, the arena, the
   {outputs_and_state} is written. Threads may run at the same time, each with memory of its own.
   Functions that return int return one of the codes below. */
#ifndef ANYCHIP_{upper}_H
#define ANYCHIP_{upper}_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

enum {{
{statuses}
}};

#define {upper}_ARENA_BYTES {memory.arena_bytes}
#define {upper}_ARENA_ALIGNMENT {ARENA_ALIGNMENT}
#define {upper}_WEIGHTS_BYTES {HEADER_BYTES + weight_bytes if separate else 0}
{sizes}
/* Runs part of a launch: the program instances from `first` to before `last`, as worker number `worker`. */
typedef void (*{name}_task)(void *job, int32_t worker, int64_t first, int64_t last);

/* Supplied by the caller who has threads: calls `task` so that each of 0 <= p < programs is in one range,
   with 0 <= worker < workers, no number in two calls at the same time, and returns when all calls have. */
typedef void (*{name}_parallel_for)(
    void *pool, {name}_task task, void *job, int64_t programs, int32_t workers);

/* Fields are set by the functions. After {upper}_ASSERTION the last three say which launch of report.json,
   which of its assertions (from 1 on), and which program instance. */
typedef struct {name}_context {{
    void *arena;
    size_t arena_bytes;
    const void *weights;
    {name}_parallel_for parallel_for;
    void *pool;
    int32_t workers;
    int32_t failed_launch;
    int32_t failed_assertion;
    int32_t failed_program[3];
}} {name}_context;

/* Bytes that {name}_init needs, and bytes for {name}_set_parallel with a number of workers. */
size_t {name}_arena_size(void);
size_t {name}_arena_size_parallel(int32_t workers);

/* Makes a context with an arena that begins at a multiple of {ARENA_ALIGNMENT}. What the arena holds does not
   matter, and is lost. */
int {name}_init({name}_context *context, void *arena, size_t bytes);
{weights_function}
/* Lets `workers` threads share each launch; the arena must be as large as {name}_arena_size_parallel says. */
int {name}_set_parallel(
    {name}_context *context, {name}_parallel_for parallel_for, void *pool, int32_t workers);

{_tensors(exported)}
int {name}_run(
    {name}_context *context{parameters});
{watchdog.header(name) if guarded else ""}
#ifdef __cplusplus
}}
#endif
#endif
"""


def _tensors(exported: ExportedFunction) -> str:
    inputs, outputs, state = exported.inputs, exported.outputs, exported.state
    lines = [
        "/* Reads the inputs and writes the outputs. Each begins at a multiple of "
        f"{ARGUMENT_ALIGNMENT} bytes; none overlaps another."
    ]
    for kind, arguments in (("in", inputs), ("out", outputs)):
        for argument in arguments:
            for tensor in argument.tensors:
                where = f" at byte {tensor.byte_offset}" if len(argument.tensors) > 1 else ""
                lines.append(
                    f"   {kind:<4}{argument.name}{where}: {tensor.dtype} {list(tensor.shape)}, strides "
                    f"{list(tensor.strides)} elements"
                    + (f", below {exported.below[argument.name]}" if argument.name in exported.below else "")
                )
    if state:
        lines.append(
            f"   {state} is read and written: what one call hands on to the next. It begins at a multiple of "
            f"{ARENA_ALIGNMENT}, and is\n   all zeros before the first call."
        )
    return "\n".join(lines) + " */"
