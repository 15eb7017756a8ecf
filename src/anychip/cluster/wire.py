"""The collectives over host memory: what gloo is asked for, in which order and in which pieces. Flows in:
flat contiguous tensors of the host. Flows out: their results.

Every rank must ask gloo for the same operations in the same order. So what is asked depends on the
collective, the dtype, the operation and the number of elements alone, never on strides or devices, which
ranks may differ in."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import (
    AllgatherOptions,
    AllreduceOptions,
    AllToAllOptions,
    BroadcastOptions,
    GatherOptions,
    ScatterOptions,
    Store,
)

from .dtypes import IN_GLOO, Reduction, combined
from .packing import as_bytes
from .staging import CHUNK_BYTES, Buffers, Pieces

SMALL_BYTES = 16 << 10
"""Up to here every rank sends all that it has to every rank: one round instead of two."""
IN_FLIGHT = 2


def chunks(elements: int, element_size: int, multiple: int) -> Iterator[slice]:
    """Pieces of about `CHUNK_BYTES`, each but the last a multiple of `multiple` elements."""
    step = max(CHUNK_BYTES // element_size // multiple, 1) * multiple
    for begin in range(0, elements, step):
        yield slice(begin, min(begin + step, elements))


class Wire:
    """gloo between the ranks of one group. All methods block, and are called by one thread."""

    def __init__(self, store: Store, rank: int, size: int, timeout: timedelta):
        self.gloo: Any = dist.ProcessGroupGloo(store, rank, size, timeout)
        self.rank = rank
        self.size = size
        self.buffers = Buffers()

    # ---- movement: bytes ---------------------------------------------------------------------------

    def broadcast(self, host: torch.Tensor, root: int) -> None:
        """The root's elements, in everyone's `host`."""
        options = BroadcastOptions()
        options.rootRank = root
        self._in_order(
            lambda piece: self.gloo.broadcast([as_bytes(host[piece])], options),
            chunks(host.numel(), host.element_size(), 1),
        )

    def all_gather(self, out: torch.Tensor, host: torch.Tensor) -> None:
        """Everyone's elements behind each other in `out` [ranks * elements]."""
        if host.numel():
            self._gathered(out, host).wait()

    def gather(self, out: torch.Tensor | None, host: torch.Tensor, root: int) -> None:
        """Everyone's elements behind each other in the root's `out`."""
        options = GatherOptions()
        options.rootRank = root
        rows = [] if out is None else [list(as_bytes(out).view(self.size, -1).unbind())]
        if host.numel():
            self.gloo.gather(rows, [as_bytes(host)], options).wait()

    def scatter(self, out: torch.Tensor, host: torch.Tensor | None, root: int) -> None:
        """The root's row of this rank, of `host` [ranks * elements]."""
        options = ScatterOptions()
        options.rootRank = root
        rows = [] if host is None else [list(as_bytes(host).view(self.size, -1).unbind())]
        if out.numel():
            self.gloo.scatter([as_bytes(out)], rows, options).wait()

    def all_to_all(self, out: torch.Tensor, host: torch.Tensor, received: list[int], sent: list[int]) -> None:
        """`sent[r]` elements to rank r, `received[r]` from it; both behind each other in rank order."""
        size = host.element_size()
        self._exchanged(out, host, [n * size for n in received], [n * size for n in sent]).wait()

    # ---- reductions --------------------------------------------------------------------------------

    def all_reduce(self, pieces: Pieces, row: Reduction, operation: str) -> None:
        """The reduction of everyone's elements, in the place of everyone's. Pieces are fetched and given
        back while others are on the wire."""
        # gloo's ring adds in an order that depends on the element's place, which DDP changes after its first
        # step: a job that goes on would have other last bits. Two terms, or integers, have no such order.
        any_order = self.size == 2 or not row.dtype.is_floating_point
        size = pieces.elements * pieces.dtype.itemsize
        if row.in_gloo and operation in IN_GLOO and any_order:
            self._by_gloo(pieces, operation)
        elif size <= SMALL_BYTES or pieces.elements < self.size:
            self._whole(pieces, slice(0, pieces.elements), row, operation)
        else:
            self._by_parts(pieces, row, operation)

    def reduce_scatter(self, out: torch.Tensor, host: torch.Tensor, row: Reduction, operation: str) -> None:
        """Row `rank` of the reduction of everyone's `host` [ranks * elements], in `out` [elements]."""
        part = out.numel()
        rows = host.view(self.size, part)
        pending: deque[tuple[Any, torch.Tensor, slice, torch.Tensor]] = deque()

        def finish() -> None:
            work, terms, piece, _ = pending.popleft()
            work.wait()
            out[piece] = combined(terms.view(self.size, -1), row, operation)

        for piece in chunks(part, host.element_size() * self.size, 1):
            sent = rows[:, piece].contiguous().view(-1)
            terms = torch.empty_like(sent)
            pending.append((self._exchanged(terms, sent, [], []), terms, piece, sent))
            if len(pending) >= IN_FLIGHT:
                finish()
        while pending:
            finish()

    def _by_gloo(self, pieces: Pieces, operation: str) -> None:
        options = AllreduceOptions()
        options.reduceOp = getattr(dist.ReduceOp, "SUM" if operation == "AVG" else operation)
        pending: deque[tuple[Any, slice, torch.Tensor]] = deque()

        def finish() -> None:
            work, piece, host = pending.popleft()
            work.wait()
            if operation == "AVG":
                host.div_(self.size)
            pieces.give(piece, host)

        for piece in chunks(pieces.elements, pieces.dtype.itemsize, 1):
            host = pieces.fetch(piece)
            pending.append((self.gloo.allreduce([host], options), piece, host))
            if len(pending) > IN_FLIGHT:
                finish()
        while pending:
            finish()

    def _by_parts(self, pieces: Pieces, row: Reduction, operation: str) -> None:
        """Each rank combines its part of every piece, and all gather the parts; what is left of a division by
        the number of ranks is a piece of its own."""
        even = pieces.elements // self.size * self.size
        exchanged: deque[tuple[Any, torch.Tensor, slice, torch.Tensor]] = deque()
        gathered: deque[tuple[Any, torch.Tensor, slice, torch.Tensor]] = deque()

        def combine() -> None:
            work, terms, piece, host = exchanged.popleft()
            work.wait()
            part = combined(terms.view(self.size, -1), row, operation)
            gathered.append((self._gathered(host, part), part, piece, host))
            if len(gathered) > 1:
                finish()

        def finish() -> None:
            work, _, piece, host = gathered.popleft()
            work.wait()
            pieces.give(piece, host)

        for piece in chunks(even, pieces.dtype.itemsize, self.size):
            host = pieces.fetch(piece)
            terms = torch.empty_like(host)
            exchanged.append((self._exchanged(terms, host, [], []), terms, piece, host))
            if len(exchanged) > IN_FLIGHT:
                combine()
        while exchanged:
            combine()
        while gathered:
            finish()
        self._whole(pieces, slice(even, pieces.elements), row, operation)

    def _whole(self, pieces: Pieces, piece: slice, row: Reduction, operation: str) -> None:
        """A small piece: everyone's elements on every rank, combined there."""
        if piece.start < piece.stop:
            host = pieces.fetch(piece)
            terms = torch.empty(self.size, host.numel(), dtype=host.dtype)
            self._gathered(terms.view(-1), host).wait()
            host.copy_(combined(terms, row, operation))
            pieces.give(piece, host)

    # ---- what gloo is asked for --------------------------------------------------------------------

    def _exchanged(self, out: torch.Tensor, host: torch.Tensor, received: list[int], sent: list[int]) -> Any:
        options = AllToAllOptions()
        return self.gloo.alltoall_base(as_bytes(out), as_bytes(host), received, sent, options)

    def _gathered(self, out: torch.Tensor, host: torch.Tensor) -> Any:
        rows = list(as_bytes(out).view(self.size, -1).unbind())
        return self.gloo.allgather([rows], [as_bytes(host)], AllgatherOptions())

    @staticmethod
    def _in_order(ask: Callable[[slice], Any], pieces: Iterator[slice]) -> None:
        pending: deque[Any] = deque()
        for piece in pieces:
            pending.append(ask(piece))
            if len(pending) > IN_FLIGHT:
                pending.popleft().wait()
        for work in pending:
            work.wait()
