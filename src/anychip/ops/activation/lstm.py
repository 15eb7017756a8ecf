"""One direction of one LSTM layer over a whole sequence, which is what PyTorch's nn.LSTM calls on a CPU
(mkldnn_rnn_layer), and its backward operator. Hochreiter and Schmidhuber, Neural Computation 9(8), 1997.
The input's product with its weights is one matrix product for all steps; a step adds the state's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import triton
import triton.language as tl

from ..errors import NotServed
from ..iteration import power_of_two
from ..launching import TRITON_DTYPES, Plan, Plans, Tiles, cdiv, compute_dtype, signature
from ..linalg.matmul import product
from ..memory.copy import COPY, zero_
from ..reduce.sums import SUM
from ..registry import Operator, Overload, Sample, register
from ..samples import tensor

TILES = Tiles(simt={"block": 256}, simd={"block": 256})
PLANS: Plans[Plan] = Plans()
LSTM_MODE = 2
"""The number by which PyTorch names an LSTM among recurrent layers."""

# ---- kernels --------------------------------------------------------------------------------------


@triton.jit
def lstm_cell_kernel(
    hidden_out, cell_out, gates, bias, cell, width, COMPUTE: tl.constexpr, BLOCK: tl.constexpr
):
    """One step of one row: gates [input, forget, cell, output] become their activations, in place; the
    new cell is forget cell + input candidate, the new state output tanh(cell)."""
    blocks = tl.cdiv(width, BLOCK)
    row = (tl.program_id(0) // blocks).to(tl.int64)
    lane = (tl.program_id(0) % blocks) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < width
    gates += row * 4 * width + lane
    raw_i = tl.load(gates, mask=mask, other=0).to(COMPUTE)
    raw_f = tl.load(gates + width, mask=mask, other=0).to(COMPUTE)
    raw_g = tl.load(gates + 2 * width, mask=mask, other=0).to(COMPUTE)
    raw_o = tl.load(gates + 3 * width, mask=mask, other=0).to(COMPUTE)
    if bias is not None:
        raw_i += tl.load(bias + lane, mask=mask, other=0).to(COMPUTE)
        raw_f += tl.load(bias + width + lane, mask=mask, other=0).to(COMPUTE)
        raw_g += tl.load(bias + 2 * width + lane, mask=mask, other=0).to(COMPUTE)
        raw_o += tl.load(bias + 3 * width + lane, mask=mask, other=0).to(COMPUTE)
    i = tl.sigmoid(raw_i)
    f = tl.sigmoid(raw_f)
    g = 2 * tl.sigmoid(2 * raw_g) - 1
    o = tl.sigmoid(raw_o)
    new = f * tl.load(cell + row * width + lane, mask=mask, other=0).to(COMPUTE) + i * g
    out = gates.dtype.element_ty
    tl.store(gates, i.to(out), mask=mask)
    tl.store(gates + width, f.to(out), mask=mask)
    tl.store(gates + 2 * width, g.to(out), mask=mask)
    tl.store(gates + 3 * width, o.to(out), mask=mask)
    tl.store(cell_out + row * width + lane, new.to(out), mask=mask)
    tl.store(hidden_out + row * width + lane, (o * (2 * tl.sigmoid(2 * new) - 1)).to(out), mask=mask)


@triton.jit
def lstm_cell_gradient_kernel(
    gates_out,
    cell_out,
    gates,
    cell,
    before,
    from_output,
    from_state,
    from_cell,
    width,
    COMPUTE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Gradients of one step's gates before their activations, and of the cell before the step."""
    blocks = tl.cdiv(width, BLOCK)
    row = (tl.program_id(0) // blocks).to(tl.int64)
    lane = (tl.program_id(0) % blocks) * BLOCK + tl.arange(0, BLOCK)
    mask = lane < width
    gates += row * 4 * width + lane
    gates_out += row * 4 * width + lane
    at = row * width + lane
    i = tl.load(gates, mask=mask, other=0).to(COMPUTE)
    f = tl.load(gates + width, mask=mask, other=0).to(COMPUTE)
    g = tl.load(gates + 2 * width, mask=mask, other=0).to(COMPUTE)
    o = tl.load(gates + 3 * width, mask=mask, other=0).to(COMPUTE)
    dh = tl.load(from_state + at, mask=mask, other=0).to(COMPUTE)
    if from_output is not None:
        dh += tl.load(from_output + at, mask=mask, other=0).to(COMPUTE)
    squashed = 2 * tl.sigmoid(2 * tl.load(cell + at, mask=mask, other=0).to(COMPUTE)) - 1
    dc = tl.load(from_cell + at, mask=mask, other=0).to(COMPUTE) + dh * o * (1 - squashed * squashed)
    old = tl.load(before + at, mask=mask, other=0).to(COMPUTE)
    out = gates_out.dtype.element_ty
    tl.store(gates_out, (dc * g * i * (1 - i)).to(out), mask=mask)
    tl.store(gates_out + width, (dc * old * f * (1 - f)).to(out), mask=mask)
    tl.store(gates_out + 2 * width, (dc * i * (1 - g * g)).to(out), mask=mask)
    tl.store(gates_out + 3 * width, (dh * squashed * o * (1 - o)).to(out), mask=mask)
    tl.store(cell_out + at, (dc * f).to(out), mask=mask)


# ---- forward, backward ----------------------------------------------------------------------------


def _cell_plan(kernel: Any, rows: int, width: int, *operands: torch.Tensor | None) -> Plan:
    source = next(x for x in operands if x is not None)
    key = (kernel.__name__, rows, width, signature(*operands))
    plan = PLANS.get(key)
    if plan is None:
        block = min(power_of_two(width), TILES.on(source)["block"])
        constants = {"COMPUTE": TRITON_DTYPES[compute_dtype(source.dtype)], "BLOCK": block}
        plan = PLANS.remember(key, Plan(kernel, rows * cdiv(width, block), (width,), constants))
    return plan


def _check(input: torch.Tensor, mode: int, batch_sizes: Sequence[int]) -> None:
    if mode != LSTM_MODE or len(batch_sizes):
        raise NotServed("mkldnn_rnn_layer", "only an LSTM over unpacked sequences is served")
    if input.dtype not in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
        raise NotServed("mkldnn_rnn_layer", f"dtype {input.dtype} is not served")


def rnn_layer(
    input: torch.Tensor,
    weight0: torch.Tensor,
    weight1: torch.Tensor,
    weight2: torch.Tensor,
    weight3: torch.Tensor,
    hx_: torch.Tensor,
    cx_: torch.Tensor,
    reverse: bool,
    batch_sizes: Sequence[int],
    mode: int,
    hidden_size: int,
    num_layers: int,
    has_biases: bool,
    bidirectional: bool,
    batch_first: bool,
    train: bool,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """(states of all steps, last state, last cell, workspace) of [steps, batch, width]; `reverse` walks
    from the last step. The workspace keeps what the backward pass needs: activated gates, and cells."""
    _check(input, mode, batch_sizes)
    source = input.contiguous()
    steps, batch, width = source.shape
    like = {"dtype": input.dtype, "device": input.device}
    kept = torch.empty((steps, batch, 5, hidden_size), **like) if steps else torch.empty((0,), **like)
    flat = kept.view(-1)
    size = steps * batch * hidden_size
    gates = flat[: 4 * size].view(steps, batch, 4 * hidden_size)
    cells = flat[4 * size :].view(steps, batch, hidden_size)
    first_bias = weight2.contiguous() if has_biases else None
    second_bias = weight3.contiguous() if has_biases else None
    product(
        source.view(1, steps * batch, width),
        weight0.t()[None],
        first_bias,
        out=gates.view(1, steps * batch, 4 * hidden_size),
        operator="lstm",
    )
    out = torch.empty((steps, batch, hidden_size), **like)
    hidden, cell = hx_.reshape(batch, hidden_size).contiguous(), cx_.reshape(batch, hidden_size).contiguous()
    recurrent = weight1.t()[None]
    for t in reversed(range(steps)) if reverse else range(steps):
        product(hidden[None], recurrent, gates[t], out=gates[t][None], operator="lstm")
        plan = _cell_plan(lstm_cell_kernel, batch, hidden_size, gates[t], second_bias)
        plan.launch(out[t], cells[t], gates[t], second_bias, cell)
        hidden, cell = out[t], cells[t]
    last = [COPY(x, out=torch.empty(x.shape, **like)).view(hx_.shape) for x in (hidden, cell)]
    return out, last[0], last[1], kept


def is_ours(input: torch.Tensor, *rest: Any) -> bool:
    """Whether the workspace, the last argument of a backward call, is one of `rnn_layer`'s, which has the
    input's dtype; oneDNN's are bytes."""
    return rest[-1].dtype == input.dtype


def rnn_layer_backward(
    input: torch.Tensor,
    weight1: torch.Tensor,
    weight2: torch.Tensor,
    weight3: torch.Tensor,
    weight4: torch.Tensor,
    hx_: torch.Tensor,
    cx_tmp: torch.Tensor,
    output: torch.Tensor,
    hy_: torch.Tensor,
    cy_: torch.Tensor,
    grad_output: torch.Tensor | None,
    grad_hy: torch.Tensor | None,
    grad_cy: torch.Tensor | None,
    reverse: bool,
    mode: int,
    hidden_size: int,
    num_layers: int,
    has_biases: bool,
    train: bool,
    bidirectional: bool,
    batch_sizes: Sequence[int],
    batch_first: bool,
    workspace: torch.Tensor,
) -> tuple[torch.Tensor, ...]:
    """Gradients of input, both weights, both biases, first state and first cell."""
    _check(input, mode, batch_sizes)
    if not is_ours(input, workspace):
        raise NotServed("mkldnn_rnn_layer_backward", "the forward pass was PyTorch's, as is its workspace")
    source = input.contiguous()
    steps, batch, width = source.shape
    like = {"dtype": input.dtype, "device": input.device}
    size = steps * batch * hidden_size
    flat = workspace.reshape(-1)
    gates = flat[: 4 * size].view(steps, batch, 4 * hidden_size)
    cells = flat[4 * size :].view(steps, batch, hidden_size)
    states = output.contiguous()
    first_hidden = hx_.reshape(batch, hidden_size).contiguous()
    first_cell = cx_tmp.reshape(batch, hidden_size).contiguous()
    given = None if grad_output is None else grad_output.contiguous()
    shape = (batch, hidden_size)
    of_hidden = zero_(torch.empty(shape, **like)) if grad_hy is None else grad_hy.reshape(shape).contiguous()
    of_cell = zero_(torch.empty(shape, **like)) if grad_cy is None else grad_cy.reshape(shape).contiguous()
    of_gates = torch.empty(gates.shape, **like)
    before = torch.empty(states.shape, **like)
    order = list(range(steps)) if reverse else list(reversed(range(steps)))
    for k, t in enumerate(order):
        earlier = order[k + 1] if k + 1 < steps else None
        old_cell = first_cell if earlier is None else cells[earlier]
        COPY(first_hidden if earlier is None else states[earlier], out=before[t])
        part = None if given is None else given[t]
        next_cell = torch.empty(shape, **like)
        plan = _cell_plan(lstm_cell_gradient_kernel, batch, hidden_size, gates[t], part)
        plan.launch(of_gates[t], next_cell, gates[t], cells[t], old_cell, part, of_hidden, of_cell)
        of_hidden = product(of_gates[t][None], weight2[None], operator="lstm_backward")[0]
        of_cell = next_cell
    rows = of_gates.view(1, steps * batch, 4 * hidden_size)
    turned = rows.transpose(1, 2)
    of_input = product(rows, weight1[None], operator="lstm_backward").view(source.shape)
    of_weight1 = product(turned, source.view(1, steps * batch, width), operator="lstm_backward")[0]
    of_weight2 = product(turned, before.view(1, steps * batch, hidden_size), operator="lstm_backward")[0]
    of_bias = SUM(rows[0], [0], False, compute=compute_dtype(input.dtype), result=input.dtype)
    other_bias = COPY(of_bias, out=torch.empty_like(of_bias))
    return (
        of_input,
        of_weight1,
        of_weight2,
        of_bias,
        other_bias,
        of_hidden.view(hx_.shape),
        of_cell.view(cx_tmp.shape),
    )


# ---- record ---------------------------------------------------------------------------------------


def _arguments(dtype: torch.dtype, reverse: bool) -> tuple[Any, ...]:
    weights = [
        tensor(shape, dtype, -1, 1, seed=k) for k, shape in enumerate(((24, 5), (24, 6), (24,), (24,)))
    ]
    states = (tensor((1, 3, 6), dtype, -1, 1, seed=5), tensor((1, 3, 6), dtype, -1, 1, seed=6))
    x = tensor((4, 3, 5), dtype, -1, 1)
    return x, *weights, *states, reverse, [], LSTM_MODE, 6, 1, True, False, False, True


def _samples(dtype: torch.dtype) -> Iterable[Sample]:
    return [Sample(_arguments(dtype, reverse)) for reverse in (False, True)]


def reference(
    input: torch.Tensor,
    w_ih: torch.Tensor,
    w_hh: torch.Tensor,
    b_ih: torch.Tensor,
    b_hh: torch.Tensor,
    hx: torch.Tensor,
    cx: torch.Tensor,
    reverse: bool,
    *rest: Any,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The same by PyTorch's LSTM cell, which has kernels for float64."""
    h, c = hx[0], cx[0]
    states: list[torch.Tensor] = []
    for x in input.flip(0) if reverse else input:
        h, c = torch.lstm_cell(x, (h, c), w_ih, w_hh, b_ih, b_hh)
        states.append(h)
    return torch.stack(states[::-1] if reverse else states), h[None], c[None]


def _outputs(result: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """Not the workspace, which is ours."""
    return result[:3]


def _gradients(dtype: torch.dtype) -> Iterable[Sample]:
    for reverse in (False, True):
        arguments = _arguments(dtype, reverse)
        x, w_ih, w_hh, b_ih, b_hh, hx, cx = arguments[:7]
        given = [tensor(shape, dtype, -1, 1, seed=9) for shape in ((4, 3, 6), (1, 3, 6), (1, 3, 6))]
        output, hy, cy, workspace = rnn_layer(*arguments)
        settings = (reverse, LSTM_MODE, 6, 1, True, True, False, [], False, workspace)
        yield Sample((x, w_ih, w_hh, b_ih, b_hh, hx, cx, output, hy, cy, *given, *settings))


def reference_gradients(*arguments: Any) -> tuple[torch.Tensor, ...]:
    """Gradients of `reference` by PyTorch's autograd."""
    leaves = [x.detach().requires_grad_() for x in arguments[:7]]
    results = reference(*leaves, arguments[13])
    return torch.autograd.grad(results, leaves, list(arguments[10:13]))


register(
    Operator(
        name="lstm_layer",
        overloads=(
            Overload(
                "mkldnn_rnn_layer",
                rnn_layer,
                _samples,
                takes_out=False,
                reference=reference,
                compared=_outputs,
            ),
            Overload(
                "mkldnn_rnn_layer_backward",
                rnn_layer_backward,
                _gradients,
                takes_out=False,
                reference=reference_gradients,
            ),
        ),
        kernels=(lstm_cell_kernel, lstm_cell_gradient_kernel),
        dtypes=(torch.float32, torch.float64),
        tiles=TILES,
        tolerance=8.0,
    )
)
