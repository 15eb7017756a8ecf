"""The C example that comes with a language model's library: it reads a prompt token by token, continues it by
the likeliest tokens, and compares them, and the logits of the last step, with those of the machine that
exported it. It needs a C library."""

from __future__ import annotations

import sys

from .example import COMPARE, READERS, VALUES, WRITE_NUMBER, array, weights_loader
from .exported import ExportedFunction, Generation, TensorPlace

LOGITS_TOLERANCE = 0.1
"""How far logits may be apart, relative to the largest. Chips add in different orders, and where activations
are rounded to 8 bits, a last bit decides between two of 255 steps. Tokens must be equal."""


def golden(exported: ExportedFunction, generation: Generation) -> str:
    """The text of `golden.h`: the prompt, the answer, and the logits that its last token was taken from."""
    logits = exported.outputs[0].tensors[0]
    tokens = [
        array(
            name,
            TensorPlace(name, "int64", (len(values),), (1,)),
            b"".join(value.to_bytes(8, sys.byteorder) for value in values),
        )
        for name, values in (("prompt", generation.prompt), ("answer", generation.answer))
    ]
    return "\n".join(
        [
            f"/* A prompt of {exported.name}, its likeliest continuation where it was exported, and the\n"
            "   logits of that one's last token as bit patterns. */\n#include <stdint.h>\n",
            *tokens,
            array("logits", logits, generation.last_logits),
        ]
    )


def example(exported: ExportedFunction, generation: Generation, separate_weights: bool) -> str:
    """The text of `example.c`."""
    name, upper = exported.name, exported.name.upper()
    token, position = (x.name for x in exported.inputs)
    logits, next_token = (x.tensors[0] for x in exported.outputs)
    steps = len(generation.prompt) + len(generation.answer) - 1
    return f"""/* Reads the prompt of golden.h with {name} and continues it, each time by the likeliest token.

   C11:  cc example.c lib{name}.a -lm -o example && ./example */
#include "{name}.h"

#include <stdio.h>
#include <stdlib.h>

#include "golden.h"

static void board_write(const char *text) {{ fputs(text, stdout); }}

enum {{ PROMPT = {len(generation.prompt)}, ANSWER = {len(generation.answer)}, STEPS = {steps} }};

_Alignas({upper}_ARENA_ALIGNMENT) static uint8_t arena[{upper}_ARENA_BYTES];
_Alignas({upper}_ARENA_ALIGNMENT) static uint8_t {exported.state}[{upper}_{exported.state.upper()}_BYTES];
_Alignas(16) static float {logits.name}[{logits.bytes // 4}];
_Alignas(16) static int64_t {token}, {position}, {next_token.name};
static int64_t answer[ANSWER];

{WRITE_NUMBER}
{VALUES}
{READERS["float"]}
{READERS["bits"]}
{COMPARE}
{weights_loader(name, upper) if separate_weights else ""}
int main(void) {{
    {name}_context context;
    int status = {name}_init(&context, arena, sizeof arena);
{"    if (!status) status = load_weights(&context);" if separate_weights else ""}
    for (int step = 0; !status && step < STEPS; step++) {{
        {token} = step < PROMPT ? (int64_t)golden_prompt[step] : {next_token.name};
        {position} = step;
        status = {name}_run(
            &context, &{token}, &{position}, {logits.name}, &{next_token.name}, {exported.state});
        if (step >= PROMPT - 1) answer[step - (PROMPT - 1)] = {next_token.name};
    }}
    if (status) {{
        board_write("{name} failed with code ");
        write_number((uint32_t)status);
        board_write("\\n");
        return 2;
    }}
    board_write("tokens:");
    for (int k = 0; k < ANSWER; k++) {{
        board_write(" ");
        write_number((uint32_t)answer[k]);
    }}
    board_write("\\n");
    int wrong = compare(
        "{next_token.name}", answer, golden_answer, ANSWER, 8, value_of_bits, 0);
    wrong += compare(
        "{logits.name}", {logits.name}, golden_logits, {logits.bytes // 4}, 4, value_of_float,
        {LOGITS_TOLERANCE:g});
    board_write(wrong ? "{name}: WRONG\\n" : "{name}: right\\n");
    return wrong != 0;
}}
"""
