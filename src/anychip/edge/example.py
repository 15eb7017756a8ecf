"""The C example that comes with a library: it runs the example call and compares with PyTorch's result.

With `ANYCHIP_BARE_METAL` defined it uses nothing of the C library: text goes to `board_write`, weights
are inside the library, and the arena is a static array.
"""

from __future__ import annotations

import sys

from .exported import ExportedFunction, TensorPlace

_WORDS = {1: "uint8_t", 2: "uint16_t", 4: "uint32_t", 8: "uint64_t"}


def golden(exported: ExportedFunction) -> str:
    """The text of `golden.h`: the example call's inputs and PyTorch's outputs as arrays of words."""
    parts = [
        f"/* An example call of {exported.name}: its inputs, and its outputs as PyTorch computes them, as "
        "bit patterns. */\n#include <stdint.h>\n"
    ]
    for prefix, arguments, contents in (
        ("input", exported.inputs, exported.example_inputs),
        ("output", exported.outputs, exported.example_outputs),
    ):
        for argument, content in zip(arguments, contents):
            for number, tensor in enumerate(argument.tensors):
                parts.append(array(f"{prefix}_{argument.name}_{number}", tensor, content))
    return "\n".join(parts)


def array(name: str, tensor: TensorPlace, content: bytes) -> str:
    """A tensor's bytes, in this machine's order, as a C array of words."""
    size = tensor.element.bytes
    own = content[tensor.byte_offset : tensor.byte_offset + tensor.bytes]
    words = [int.from_bytes(own[k : k + size], sys.byteorder) for k in range(0, len(own), size)]
    suffix = "ull" if size == 8 else "u"
    lines = [
        "    " + ", ".join(f"{word:#x}{suffix}" for word in words[k : k + 8]) for k in range(0, len(words), 8)
    ]
    body = ",\n".join(lines) or "    0"
    return f"_Alignas(16) static const {_WORDS[size]} golden_{name}[] = {{\n{body}\n}};\n"


def example(exported: ExportedFunction, separate_weights: bool) -> str:
    """The text of `example.c`."""
    name, upper = exported.name, exported.name.upper()
    memories = "".join(
        f"_Alignas(16) static uint8_t {x.name}_memory[{max(x.size, 1)}];\n" for x in exported.outputs
    )
    arguments = ", ".join(
        [f"(const {x.c_type} *)golden_input_{x.name}_0" for x in exported.inputs]
        + [f"({x.c_type} *){x.name}_memory" for x in exported.outputs]
    )
    comparisons = "\n".join(
        f'    wrong += compare("{tensor.name}", {x.name}_memory + {tensor.byte_offset}, '
        f"golden_output_{x.name}_{number}, {tensor.bytes // tensor.element.bytes}, {tensor.element.bytes}, "
        f"value_of_{tensor.element.compared_as}, {tensor.element.tolerance:g});"
        for x in exported.outputs
        for number, tensor in enumerate(x.tensors)
    )
    kinds = sorted({tensor.element.compared_as for x in exported.outputs for tensor in x.tensors})
    return f"""/* Runs {name} on the example call of golden.h and compares with what PyTorch computed.

   On a system with a C library (C11):  cc example.c lib{name}.a -lm -o example && ./example
   Without one, define ANYCHIP_BARE_METAL and supply board_write. */
#include "{name}.h"

#include "golden.h"

#ifdef ANYCHIP_BARE_METAL
void board_write(const char *text);
#else
#include <stdio.h>
#include <stdlib.h>
static void board_write(const char *text) {{ fputs(text, stdout); }}
#endif

_Alignas({upper}_ARENA_ALIGNMENT) static uint8_t arena[{upper}_ARENA_BYTES];
{memories}
{WRITE_NUMBER}
{VALUES}
{"".join(READERS[kind] for kind in kinds)}
{COMPARE}
{weights_loader(name, upper) if separate_weights else ""}
int main(void) {{
    {name}_context context;
    int status = {name}_init(&context, arena, sizeof arena);
{"    if (!status) status = load_weights(&context);" if separate_weights else ""}
    if (!status) status = {name}_run(&context, {arguments});
    if (status) {{
        board_write("{name} failed with code ");
        write_number((uint32_t)status);
        board_write("\\n");
        return 2;
    }}
    int wrong = 0;
{comparisons}
    board_write(wrong ? "{name}: WRONG\\n" : "{name}: right\\n");
    return wrong != 0;
}}
"""


WRITE_NUMBER = """static void write_number(uint32_t number) {
    char digits[11];
    int place = 10;
    digits[place] = 0;
    do {
        digits[--place] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    board_write(digits + place);
}
"""

VALUES = """/* Elements become `real` to be compared; bare chips may have no double precision. */
#ifdef ANYCHIP_BARE_METAL
typedef float real;
#else
typedef double real;
#endif
typedef real (*value_of)(const void *element, int bytes);
"""

READERS: dict[str, str] = {
    "float": """static real value_of_float(const void *element, int bytes) {
    (void)bytes;
    return *(const float *)element;
}
""",
    "double": """static real value_of_double(const void *element, int bytes) {
    (void)bytes;
    return (real)*(const double *)element;
}
""",
    "half": """static real value_of_half(const void *element, int bytes) {
    uint16_t bits = *(const uint16_t *)element;
    int exponent = bits >> 10 & 31;
    union { uint32_t bits; float value; } scale, whole;
    (void)bytes;
    if (exponent == 31) whole.bits = 0x7f800000u | (uint32_t)(bits & 1023) << 13;
    else if (exponent) whole.bits = (uint32_t)(bits & 0x7fff) + 0x1c000u << 13;
    else {
        scale.bits = 0x33800000u; /* 2^-24 */
        whole.value = (float)(bits & 1023) * scale.value;
    }
    return bits & 0x8000 ? -whole.value : whole.value;
}
""",
    "brain": """static real value_of_brain(const void *element, int bytes) {
    union { uint32_t bits; float value; } whole;
    (void)bytes;
    whole.bits = (uint32_t)*(const uint16_t *)element << 16;
    return whole.value;
}
""",
    "bits": """static real value_of_bits(const void *element, int bytes) {
    const uint8_t *byte = element;
    uint64_t bits = 0;
    for (int k = 0; k < bytes; k++) bits = bits * 257 + byte[k];
    return (real)bits;
}
""",
}
"""How an element becomes a number that differs when elements do."""

COMPARE = """/* Says by how much elements differ, relative to the largest one. Returns 1 where that is more
   than allowed, or where one is not a number and the other is. */
static int compare(
    const char *name, const void *ours, const void *expected, uint32_t count, int bytes, value_of value,
    real allowed) {
    real largest = 0, difference = 0;
    int strange = 0;
    for (uint32_t k = 0; k < count; k++) {
        real x = value((const uint8_t *)ours + (size_t)k * bytes, bytes);
        real y = value((const uint8_t *)expected + (size_t)k * bytes, bytes);
        real size = y < 0 ? -y : y, d = x < y ? y - x : x - y;
        if (x == y || (x != x && y != y)) d = 0;
        if (d != d) strange = 1;
        if (size > largest) largest = size;
        if (d > difference) difference = d;
    }
    real relative = largest > 0 ? difference / largest : difference;
    board_write(name);
    if (strange || relative > 4) {
        board_write(": differs wholly\\n");
        return 1;
    }
    board_write(": largest difference ");
    write_number((uint32_t)(relative * 1000000000));
    board_write("e-9 of the largest element\\n");
    return relative > allowed;
}
"""


def weights_loader(name: str, upper: str) -> str:
    """A C function that reads the weights from their file."""
    return f"""static int load_weights({name}_context *context) {{
    FILE *file = fopen("{name}_weights.bin", "rb");
    uint8_t *memory = malloc({upper}_WEIGHTS_BYTES + 63);
    if (!file || !memory) return {upper}_WEIGHTS_MISSING;
    memory = (uint8_t *)(((uintptr_t)memory + 63) & ~(uintptr_t)63);
    size_t bytes = fread(memory, 1, {upper}_WEIGHTS_BYTES, file);
    fclose(file);
    return {name}_set_weights(context, memory, bytes);
}}
"""
