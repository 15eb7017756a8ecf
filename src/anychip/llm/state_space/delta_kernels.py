"""The kernels of the gated delta rule: token by token, in chunks, and the gradients chunk by chunk from the
last to the first. Flows in: queries, keys, values, decays, strengths, states. Flows out: values, states;
gradients."""

from __future__ import annotations

import triton
import triton.language as tl

from .chunks import across, dot, fading_of, first_state, load_tile, store_tile


@triton.jit
def delta_recurrent_kernel(
    out,
    last,
    query,
    key,
    value,
    decay,
    strength,
    initial,
    tokens,
    heads,
    width,
    value_width,
    scale,
    BLOCK_D: tl.constexpr,
    BLOCK_V: tl.constexpr,
):
    """One block of values of one head of one sequence, token by token."""
    sequence = tl.program_id(2).to(tl.int64)
    head = tl.program_id(1)
    d = tl.arange(0, BLOCK_D)
    v = tl.program_id(0) * BLOCK_V + tl.arange(0, BLOCK_V)
    in_d, in_v = d < width, v < value_width
    inside = in_d[:, None] & in_v[None, :]
    at_state = ((sequence * heads + head) * width + d[:, None]) * value_width + v[None, :]
    state = first_state(initial, at_state, inside, 1.0, BLOCK_D, BLOCK_V)
    for token in range(tokens):
        row = (sequence * tokens + token) * heads + head
        q = tl.load(query + row * width + d, mask=in_d, other=0.0).to(tl.float32)
        k = tl.load(key + row * width + d, mask=in_d, other=0.0).to(tl.float32)
        x = tl.load(value + row * value_width + v, mask=in_v, other=0.0).to(tl.float32)
        b = tl.load(strength + row).to(tl.float32)
        state *= tl.exp(tl.load(decay + row).to(tl.float32))
        held = tl.sum(state * k[:, None], 0)
        state += k[:, None] * (b * (x - held))[None, :]
        result = tl.sum(state * q[:, None], 0) * scale
        tl.store(out + row * value_width + v, result.to(out.dtype.element_ty), mask=in_v)
    tl.store(last + at_state, state, mask=inside)


@triton.jit
def chunk_system(k, b, fading, c):
    """What the tokens of a chunk write, u, solves (I + L) u = b (v - a S^T k), L = b M below the diagonal.
    Gives M and (I + L)^-1 = (I - L)(I + L^2)(I + L^4)(I + L^8), for 16 tokens."""
    one = tl.where(c[:, None] == c[None, :], 1.0, 0.0)
    likeness = tl.where(c[:, None] > c[None, :], dot(k, tl.trans(k)) * fading, 0.0)
    below = likeness * b[:, None]
    second = dot(below, below)
    fourth = dot(second, second)
    eighth = dot(fourth, fourth)
    inverse = dot(dot(dot(one - below, one + second), one + fourth), one + eighth)
    return likeness, inverse


@triton.jit
def delta_chunk_kernel(
    out,
    last,
    states,
    query,
    key,
    value,
    decay,
    strength,
    initial,
    tokens,
    heads,
    width,
    value_width,
    scale,
    BLOCK_D: tl.constexpr,
    BLOCK_V: tl.constexpr,
    CHUNK: tl.constexpr,
):
    """One block of values of one head of one sequence, chunk by chunk; `states` keeps those before each."""
    sequence = tl.program_id(2).to(tl.int64)
    head = tl.program_id(1)
    d = tl.arange(0, BLOCK_D)
    v = tl.program_id(0) * BLOCK_V + tl.arange(0, BLOCK_V)
    c = tl.arange(0, CHUNK)
    inside = (d < width)[:, None] & (v < value_width)[None, :]
    line = sequence * heads + head
    at_state = (line * width + d[:, None]) * value_width + v[None, :]
    state = first_state(initial, at_state, inside, 1.0, BLOCK_D, BLOCK_V)
    for first in range(0, tokens, CHUNK):
        in_c = first + c < tokens
        row = (sequence * tokens + first + c) * heads + head
        q = load_tile(query, row, d, width, in_c)
        k = load_tile(key, row, d, width, in_c)
        x = load_tile(value, row, v, value_width, in_c)
        b = tl.load(strength + row, mask=in_c, other=0.0).to(tl.float32)
        g = tl.load(decay + row, mask=in_c, other=0.0).to(tl.float32)
        if states is not None:
            chunk = line * ((tokens + CHUNK - 1) // CHUNK) + first // CHUNK
            at_kept = (chunk * width + d[:, None]) * value_width + v[None, :]
            tl.store(states + at_kept, state, mask=inside)
        before, after, through, fading = fading_of(g, c)
        _, inverse = chunk_system(k, b, fading, c)
        faded = before[:, None]
        written = dot(inverse, b[:, None] * (x - dot(k * faded, state)))
        score = dot(q, tl.trans(k)) * fading
        result = tl.dot(score, written, dot(q * faded, state), input_precision="ieee") * scale
        store_tile(out, row, v, value_width, in_c, result)
        kept = tl.trans(k * after[:, None])
        state = tl.dot(kept, written, state * through, input_precision="ieee")
    tl.store(last + at_state, state, mask=inside)


@triton.jit
def delta_backward_kernel(
    dquery,
    dkey,
    dvalue,
    ddecay,
    dstrength,
    dinitial,
    dout,
    dlast,
    states,
    query,
    key,
    value,
    decay,
    strength,
    tokens,
    rows,
    heads,
    width,
    value_width,
    scale,
    BLOCK_D: tl.constexpr,
    BLOCK_V: tl.constexpr,
    CHUNK: tl.constexpr,
):
    """One block of values of one head of one sequence, from the last chunk to the first: its shares of all
    gradients, which but for that of values and of the first state are to be summed over blocks."""
    sequence = tl.program_id(2).to(tl.int64)
    head = tl.program_id(1)
    part = tl.program_id(0).to(tl.int64)
    d = tl.arange(0, BLOCK_D)
    v = tl.program_id(0) * BLOCK_V + tl.arange(0, BLOCK_V)
    c = tl.arange(0, CHUNK)
    inside = (d < width)[:, None] & (v < value_width)[None, :]
    line = sequence * heads + head
    at_state = (line * width + d[:, None]) * value_width + v[None, :]
    chunks = (tokens + CHUNK - 1) // CHUNK
    dstate = first_state(dlast, at_state, inside, 1.0, BLOCK_D, BLOCK_V)
    lower = c[:, None] >= c[None, :]
    strictly = c[:, None] > c[None, :]
    for turn in range(chunks):
        chunk = chunks - 1 - turn
        place = chunk * CHUNK + c
        in_c = place < tokens
        row = (sequence * tokens + place) * heads + head
        q = load_tile(query, row, d, width, in_c)
        k = load_tile(key, row, d, width, in_c)
        x = load_tile(value, row, v, value_width, in_c)
        do = load_tile(dout, row, v, value_width, in_c) * scale
        b = tl.load(strength + row, mask=in_c, other=0.0).to(tl.float32)
        g = tl.load(decay + row, mask=in_c, other=0.0).to(tl.float32)
        at_kept = ((line * chunks + chunk) * width + d[:, None]) * value_width + v[None, :]
        state = tl.load(states + at_kept, mask=inside, other=0.0)
        before, after, through, fading = fading_of(g, c)
        likeness, inverse = chunk_system(k, b, fading, c)
        faded = before[:, None]
        ending = after[:, None]
        missing = x - dot(k * faded, state)
        written = dot(inverse, b[:, None] * missing)
        score = dot(q, tl.trans(k)) * fading
        dwritten = tl.dot(tl.trans(score), do, dot(k * ending, dstate), input_precision="ieee")
        dright = dot(tl.trans(inverse), dwritten)
        store_tile(dvalue, row, v, value_width, in_c, b[:, None] * dright)
        dbelow = tl.where(strictly, -dot(dright, tl.trans(written)), 0.0)
        dstrong = tl.sum(dright * missing, 1) + tl.sum(dbelow * likeness, 1)
        dscore = tl.where(lower, dot(do, tl.trans(written)), 0.0)
        dlikeness = dbelow * b[:, None]
        dheld = -b[:, None] * dright
        turned = tl.trans(state)
        through_q = faded * dot(do, turned)
        through_k = faded * dot(dheld, turned)
        through_last = ending * dot(written, tl.trans(dstate))
        weighed = dscore * fading
        likened = dlikeness * fading
        dq = tl.dot(weighed, k, through_q, input_precision="ieee")
        dk = tl.dot(tl.trans(weighed), q, through_k + through_last, input_precision="ieee")
        dk = tl.dot(likened + tl.trans(likened), k, dk, input_precision="ieee")
        ending_shares = tl.sum(through_last * k, 1)
        dg = across(dscore * score + dlikeness * likeness, c)
        dg += tl.cumsum(tl.sum(through_q * q + through_k * k, 1), 0, reverse=True)
        dg += tl.sum(tl.where(strictly, tl.expand_dims(ending_shares, 0), 0.0), 1)
        dg += through * tl.sum(tl.sum(state * dstate, 1), 0)
        at = part * rows + row
        store_tile(dquery, at, d, width, in_c, dq)
        store_tile(dkey, at, d, width, in_c, dk)
        tl.store(ddecay + at, dg, mask=in_c)
        tl.store(dstrength + at, dstrong, mask=in_c)
        dstate = tl.dot(tl.trans(q * faded), do, dstate * through, input_precision="ieee")
        dstate = tl.dot(tl.trans(k * faded), dheld, dstate, input_precision="ieee")
    if dinitial is not None:
        tl.store(dinitial + at_state, dstate.to(dinitial.dtype.element_ty), mask=inside)
