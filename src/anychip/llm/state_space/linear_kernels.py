"""The kernels of linear attention: the recurrence token by token, the same in chunks and in either direction
of time, and what its gradients need besides. Flows in: queries, keys, values, decays. Flows out: values,
states."""

from __future__ import annotations

import triton
import triton.language as tl

from .chunks import across, dot, fading_of, first_state, load_tile, store_tile


@triton.jit
def recurrent_kernel(
    out,
    last,
    query,
    key,
    value,
    decay,
    initial,
    tokens,
    heads,
    sharing,
    width,
    value_width,
    decay_token,
    decay_head,
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
        row = sequence * tokens + token
        at_q = (row * (heads // sharing) + head // sharing) * width + d
        at_v = (row * heads + head) * value_width + v
        k = tl.load(key + at_q, mask=in_d, other=0.0).to(tl.float32)
        q = tl.load(query + at_q, mask=in_d, other=0.0).to(tl.float32)
        x = tl.load(value + at_v, mask=in_v, other=0.0).to(tl.float32)
        if decay is not None:
            state *= tl.exp(tl.load(decay + row * decay_token + head * decay_head).to(tl.float32))
        state += k[:, None] * x[None, :]
        result = tl.sum(state * q[:, None], 0) * scale
        tl.store(out + at_v, result.to(out.dtype.element_ty), mask=in_v)
    tl.store(last + at_state, state, mask=inside)


@triton.jit
def chunk_kernel(
    out,
    last,
    query,
    key,
    value,
    decay,
    initial,
    partner,
    states,
    shares,
    tokens,
    heads,
    sharing,
    value_sharing,
    width,
    value_width,
    decay_token,
    decay_head,
    state_d,
    state_v,
    scale,
    initial_factor,
    REVERSE: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_V: tl.constexpr,
    CHUNK: tl.constexpr,
):
    """The same in chunks: within one by products of scores, between them by the state. Heads of queries and
    keys, and of values, may be shared; the result's are not. With REVERSE time runs backwards, and a token
    fades by the decay of the token after it: what gradients of keys and values are.

    `shares` [blocks of values, tokens, heads] get what the block knows of the gradients of log-decays, if
    it is wanted. The gradient of one is the sum over pairs of an earlier key and value and a later query that
    it lies between: forwards (`partner` are queries) those whose query is in the chunk, and `states` keeps
    what is left of each chunk's first state at its end; backwards (`partner` are keys) those whose query is
    after it."""
    sequence = tl.program_id(2).to(tl.int64)
    head = tl.program_id(1)
    d = tl.arange(0, BLOCK_D)
    v = tl.program_id(0) * BLOCK_V + tl.arange(0, BLOCK_V)
    c = tl.arange(0, CHUNK)
    inside = (d < width)[:, None] & (v < value_width)[None, :]
    line = sequence * heads + head
    at_state = line * width * value_width + d[:, None] * state_d + v[None, :] * state_v
    state = first_state(initial, at_state, inside, initial_factor, BLOCK_D, BLOCK_V)
    chunks = (tokens + CHUNK - 1) // CHUNK
    for turn in range(chunks):
        chunk = turn
        token = turn * CHUNK + c
        if REVERSE:
            chunk = chunks - 1 - turn
            token = chunk * CHUNK + CHUNK - 1 - c
        in_c = token < tokens
        row = sequence * tokens + token
        row_q = row * (heads // sharing) + head // sharing
        row_x = row * (heads // value_sharing) + head // value_sharing
        q = load_tile(query, row_q, d, width, in_c)
        k = load_tile(key, row_q, d, width, in_c)
        x = load_tile(value, row_x, v, value_width, in_c)
        g = tl.zeros((CHUNK,), tl.float32)
        if decay is not None:
            fades = row
            known = in_c
            if REVERSE:
                fades = row + 1
                known = token + 1 < tokens
            g = tl.load(decay + fades * decay_token + head * decay_head, mask=known, other=0.0)
            g = g.to(tl.float32)
        before, after, through, fading = fading_of(g, c)
        score = dot(q, tl.trans(k)) * fading
        carried = dot(q * before[:, None], state)
        result = tl.dot(score, x, carried, input_precision="ieee") * scale
        store_tile(out, row * heads + head, v, value_width, in_c, result)
        if shares is not None:
            other = load_tile(partner, row_x, v, value_width, in_c)
            own = tl.sum(other * carried, 1)
            at_kept = ((line * chunks + chunk) * width + d[:, None]) * value_width + v[None, :]
            if REVERSE:
                kept = tl.load(states + at_kept, mask=inside, other=0.0)
                fresh = tl.sum(tl.where(c == 0, before, 0.0), 0)
                share = tl.sum(tl.where(c[None, :] > c[:, None], tl.expand_dims(own, 0), 0.0), 1)
                share += fresh * tl.sum(tl.sum(kept * state, 1), 0)
            else:
                tl.store(states + at_kept, state * through, mask=inside)
                share = across(score * dot(other, tl.trans(x)), c) + tl.cumsum(own, 0, reverse=True)
            at_share = (tl.program_id(0) * tl.num_programs(2) * tokens + row) * heads + head
            tl.store(shares + at_share, share * scale, mask=in_c)
        faded = tl.trans(k * after[:, None])
        state = tl.dot(faded, x, state * through, input_precision="ieee")
    tl.store(last + at_state, state, mask=inside)


@triton.jit
def shared_gradient_kernel(dquery, dkey, dq, dk, heads, sharing, width, BLOCK: tl.constexpr):
    """One shared head of one token: the sums of its heads' gradients."""
    row = tl.program_id(0).to(tl.int64)
    shared = tl.program_id(1)
    lane = tl.arange(0, BLOCK)
    mask = lane < width
    at = (row * (heads // sharing) + shared) * width + lane
    total_q = tl.zeros((BLOCK,), tl.float32)
    total_k = tl.zeros((BLOCK,), tl.float32)
    for one in range(sharing):
        head = row * heads + shared * sharing + one
        total_q += tl.load(dq + head * width + lane, mask=mask, other=0.0)
        total_k += tl.load(dk + head * width + lane, mask=mask, other=0.0)
    tl.store(dquery + at, total_q.to(dquery.dtype.element_ty), mask=mask)
    tl.store(dkey + at, total_k.to(dkey.dtype.element_ty), mask=mask)


@triton.jit
def faded_kernel(out, x, decay, tokens, heads, size, decay_token, decay_head, factor, BLOCK: tl.constexpr):
    """out = x times factor and exp of the first token's log-decay: the gradient of the state before it."""
    head = tl.program_id(1)
    sequence = tl.program_id(2).to(tl.int64)
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    at = (sequence * heads + head) * size + lane
    if decay is not None:
        g = tl.load(decay + sequence * tokens * decay_token + head * decay_head).to(tl.float32)
        factor *= tl.exp(g)
    value = tl.load(x + at, mask=lane < size, other=0.0) * factor
    tl.store(out + at, value.to(out.dtype.element_ty), mask=lane < size)
