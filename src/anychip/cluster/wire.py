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
)

from .dtypes import IN_GLOO, Reduction, combined
from .packing import as_bytes

CHUNK_BYTES = 4 << 20
"""What is on the wire at once, while the piece before is combined or copied and the next is fetched."""
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

    def __init__(self, store: dist.Store, rank: int, size: int, timeout: timedelta):
        self.gloo = dist.ProcessGroupGloo(store, rank, size, timeout)
        self.rank = rank
        self.size = size

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

    def all_reduce(
        self,
        host: torch.Tensor,
        row: Reduction,
        operation: str,
        before: Callable[[slice], None],
        after: Callable[[slice], None],
    ) -> None:
        """The reduction of everyone's `host` in everyone's `host`. `before(piece)` fetches a piece into
        `host`, `after(piece)` takes a finished one away, while others are on the wire."""
        ordered = torch.are_deterministic_algorithms_enabled()
        if row.in_gloo and operation in IN_GLOO and not ordered:
            self._by_gloo(host, operation, before, after)
        elif host.nbytes <= SMALL_BYTES or host.numel() < self.size:
            whole = slice(0, host.numel())
            before(whole)
            self._all_terms(host, row, operation)
            after(whole)
        else:
            self._by_parts(host, row, operation, before, after)

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

    def _by_gloo(
        self,
        host: torch.Tensor,
        operation: str,
        before: Callable[[slice], None],
        after: Callable[[slice], None],
    ) -> None:
        options = AllreduceOptions()
        options.reduceOp = getattr(dist.ReduceOp, "SUM" if operation == "AVG" else operation)
        pending: deque[tuple[Any, slice]] = deque()

        def finish() -> None:
            work, piece = pending.popleft()
            work.wait()
            if operation == "AVG":
                host[piece].div_(self.size)
            after(piece)

        for piece in chunks(host.numel(), host.element_size(), 1):
            before(piece)
            pending.append((self.gloo.allreduce([host[piece]], options), piece))
            if len(pending) > IN_FLIGHT:
                finish()
        while pending:
            finish()

    def _by_parts(
        self,
        host: torch.Tensor,
        row: Reduction,
        operation: str,
        before: Callable[[slice], None],
        after: Callable[[slice], None],
    ) -> None:
        """Each rank combines its part of every piece, and all gather the parts; what is left of a division by
        the number of ranks is a piece of its own."""
        even = host.numel() // self.size * self.size
        exchanged: deque[tuple[Any, torch.Tensor, slice]] = deque()
        gathered: deque[tuple[Any, torch.Tensor, slice]] = deque()

        def combine() -> None:
            work, terms, piece = exchanged.popleft()
            work.wait()
            part = combined(terms.view(self.size, -1), row, operation)
            gathered.append((self._gathered(host[piece], part), part, piece))
            if len(gathered) > 1:
                finish()

        def finish() -> None:
            work, _, piece = gathered.popleft()
            work.wait()
            after(piece)

        for piece in chunks(even, host.element_size(), self.size):
            before(piece)
            terms = torch.empty_like(host[piece])
            exchanged.append((self._exchanged(terms, host[piece], [], []), terms, piece))
            if len(exchanged) > IN_FLIGHT:
                combine()
        while exchanged:
            combine()
        while gathered:
            finish()
        if even < host.numel():
            rest = slice(even, host.numel())
            before(rest)
            self._all_terms(host[rest], row, operation)
            after(rest)

    def _all_terms(self, host: torch.Tensor, row: Reduction, operation: str) -> None:
        """Everyone's elements on every rank, combined there."""
        if host.numel():
            terms = torch.empty(self.size, host.numel(), dtype=host.dtype)
            self._gathered(terms.view(-1), host).wait()
            host.copy_(combined(terms, row, operation))

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
