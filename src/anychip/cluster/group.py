"""The process group `anychip`, which PyTorch makes for `init_process_group("anychip")`: PyTorch's own gloo,
with results that are right for every type, stride and device. Flows in: PyTorch's calls of collectives.
Flows out: the same collectives over packed host memory (`wire.py`), and errors that name the rank that is
lost.

Ranks may have different chips and devices. Tensors in a device's own memory go through the host, in pieces,
so that copies run while other pieces are on the wire."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import (
    AllgatherOptions,
    AllreduceOptions,
    AllToAllOptions,
    BarrierOptions,
    PrefixStore,
    ReduceScatterOptions,
    Store,
    Work,
)

from . import members
from .arrival import start_of
from .checks import Tensors, elements, flat, require_alike, require_rows, require_times
from .devices import Moment, moment, settle
from .dtypes import operation_name, reduction
from .errors import CollectiveError, RankLost
from .liveness import Liveness
from .members import Member
from .packing import (
    as_bytes,
    packed,
    require_dense,
    require_writable,
    target,
    unpack,
)
from .staging import OnDevice, OnHost
from .wire import Wire
from .work import Pending, Queue, Received, Task

NAME = "anychip"
_Base: Any = dist.ProcessGroup
"""Any to a type checker: PyTorch's stubs list overloads that PyTorch itself does not call."""

_whole: Liveness | None = None
"""The beats of this process in its job, made with the job's first group."""


class ChipGroup(_Base):
    """A process group between ranks of any chips. Its methods are those that PyTorch calls."""

    def __init__(self, store: Store, rank: int, size: int, timeout: timedelta, ranks: Sequence[int]):
        super().__init__(rank, size)
        self._seconds = timeout.total_seconds()
        self._store = store
        self._own = (rank, size)
        self._named = self._described = ""
        self._ranks = list(ranks) or list(range(size))
        self._wire = Wire(store, rank, size, timeout)
        self._queue = Queue(f"anychip.cluster {rank}/{size}", self._blame)
        self._liveness = _process_liveness(store, rank, size, self._seconds)

    def getBackendName(self) -> str:
        """What `get_backend` gives."""
        return NAME

    def getRank(self) -> int:
        """This process's rank in the group."""
        return self._own[0]

    def getSize(self) -> int:
        """How many ranks the group has."""
        return self._own[1]

    rank, size, name = getRank, getSize, getBackendName

    def setGroupName(self, name: str) -> None:
        """PyTorch's name of the group, by which its functional collectives find it."""
        self._named = name

    def getGroupName(self) -> str:
        """The name that PyTorch gave."""
        return self._named

    def setGroupDesc(self, description: str) -> None:
        """What PyTorch's logs call the group."""
        self._described = description

    def getGroupDesc(self) -> str:
        """What PyTorch's logs call the group."""
        return self._described

    def get_group_store(self) -> Store:
        """The store that the group was made with."""
        return self._store

    @property
    def _device_types(self) -> list[torch.device]:
        """PyTorch's asynchronous checkpoints ask whether there is a back end for the host's tensors."""
        return [torch.device("cpu")]

    @property
    def timeout(self) -> timedelta:
        """How long a collective may take."""
        return timedelta(seconds=self._seconds)

    @property
    def liveness(self) -> Liveness:
        """The beats of all ranks of the job."""
        return self._liveness

    def members(self) -> list[Member]:
        """Who is in the group, by rank in it; `Member.rank` is the rank in the whole job."""
        return [self._liveness.know(rank) for rank in self._ranks]

    def shutdown(self) -> None:
        """End the group after what was asked of it."""
        global _whole
        self._queue.close(self._seconds)
        if self._liveness is _whole and self.getSize() == self._liveness.size:
            self._liveness.close()
            _whole = None

    def abort(self) -> None:
        """End the group at once."""
        self._queue.close(0)

    # ---- reductions --------------------------------------------------------------------------------

    def allreduce(self, tensors: Tensors, opts: Any = None) -> Work:
        """Each tensor becomes the reduction of everyone's."""
        return self._all_reduced("all_reduce", tensors, opts or AllreduceOptions())

    def allreduce_coalesced(self, tensors: Tensors, opts: Any = None) -> Work:
        """Each of several tensors becomes the reduction of everyone's."""
        return self._all_reduced("all_reduce_coalesced", tensors, opts or AllreduceOptions())

    def _all_reduced(self, name: str, tensors: Tensors, opts: Any) -> Work:
        operation = operation_name(opts.reduceOp)
        require_dense(name, tensors)
        rows = [reduction(tensor.dtype, operation) for tensor in tensors]
        require_writable(name, tensors)

        def run() -> None:
            for tensor, row in zip(tensors, rows):
                line = flat(tensor)
                if line is not None and line.device.type != "cpu":
                    self._wire.all_reduce(OnDevice(line, self._wire.buffers), row, operation)
                    continue
                host = packed(tensor)
                self._wire.all_reduce(OnHost(host), row, operation)
                unpack(host, tensor)

        return self._submit(name, tensors, tensors, opts, run)

    def reduce(self, tensors: Tensors, opts: Any) -> Work:
        """The root's tensor becomes the reduction of everyone's; the others' stay as they are."""
        operation = operation_name(opts.reduceOp)
        require_dense("reduce", tensors)
        row = reduction(tensors[0].dtype, operation)
        at_root = self.getRank() == opts.rootRank
        if at_root:
            require_writable("reduce", tensors)

        def run() -> None:
            host = packed(tensors[0]).clone()
            self._wire.all_reduce(OnHost(host), row, operation)
            if at_root:
                unpack(host, tensors[0])

        return self._submit("reduce", tensors, tensors, opts, run)

    def reduce_scatter(self, outputs: Tensors, inputs: Sequence[Tensors], opts: Any = None) -> Work:
        """`outputs[0]` becomes the reduction of everyone's `inputs[0][rank]`."""
        opts = opts or ReduceScatterOptions()
        operation = operation_name(opts.reduceOp)
        output, rows = outputs[0], inputs[0]
        require_dense("reduce_scatter", [output, *rows])
        row = reduction(output.dtype, operation)
        require_writable("reduce_scatter", [output])
        require_rows("reduce_scatter", rows, self.getSize())
        sizes = [each.numel() for each in rows]
        if sizes[self.getRank()] != output.numel():
            raise CollectiveError(
                f"reduce_scatter: the output has {output.numel()} elements, this rank's input "
                f"{sizes[self.getRank()]}.",
                "They must have the same number.",
            )

        def run() -> None:
            hosts = [packed(each) for each in rows]
            host = target(output)
            if len(set(sizes)) == 1:
                self._wire.reduce_scatter(host, torch.cat(hosts), row, operation)
            else:
                for root, term in enumerate(hosts):
                    total = term.clone()
                    self._wire.all_reduce(OnHost(total), row, operation)
                    if root == self.getRank():
                        host.copy_(total)
            unpack(host, output)

        return self._submit("reduce_scatter", [output, *rows], [output], opts, run)

    def reduce_scatter_single(self, output: torch.Tensor, source: torch.Tensor, opts: Any = None) -> Work:
        """`output` becomes row `rank` of the reduction of everyone's `source`."""
        return self.reduce_scatter_single_coalesced([output], [source], opts)

    def reduce_scatter_single_coalesced(self, outputs: Tensors, inputs: Tensors, opts: Any = None) -> Work:
        """`reduce_scatter_single` of several pairs of tensors."""
        opts = opts or ReduceScatterOptions()
        name = "reduce_scatter_tensor"
        operation = operation_name(opts.reduceOp)
        require_dense(name, [*outputs, *inputs])
        rows = [reduction(output.dtype, operation) for output in outputs]
        require_writable(name, outputs)
        for output, source in zip(outputs, inputs):
            require_times(name, self.getSize(), output, source)

        def run() -> None:
            for output, source, row in zip(outputs, inputs, rows):
                host = target(output)
                self._wire.reduce_scatter(host, packed(source), row, operation)
                unpack(host, output)

        return self._submit(name, [*outputs, *inputs], outputs, opts, run)

    # ---- movement ----------------------------------------------------------------------------------

    def broadcast(self, tensors: Tensors, opts: Any) -> Work:
        """Everyone's tensor becomes the root's."""
        require_dense("broadcast", tensors)
        at_root = self.getRank() == opts.rootRank
        if not at_root:
            require_writable("broadcast", tensors)

        def run() -> None:
            for tensor in tensors:
                host = packed(tensor) if at_root else target(tensor)
                self._wire.broadcast(host, opts.rootRank)
                if not at_root:
                    unpack(host, tensor)

        return self._submit("broadcast", tensors, tensors, opts, run)

    def allgather(self, outputs: Sequence[Tensors], inputs: Tensors, opts: Any = None) -> Work:
        """`outputs[i][r]` becomes rank r's `inputs[i]`."""
        written = [each for rows in outputs for each in rows]
        require_dense("all_gather", [*written, *inputs])
        require_writable("all_gather", written)
        for rows, source in zip(outputs, inputs):
            require_rows("all_gather", rows, self.getSize())
            require_alike("all_gather", rows, source)

        def run() -> None:
            for rows, source in zip(outputs, inputs):
                self._gather_rows(rows, packed(source))

        return self._submit("all_gather", [*written, *inputs], written, opts or AllgatherOptions(), run)

    allgather_coalesced = allgather

    def _gather_rows(self, rows: Tensors, host: torch.Tensor) -> None:
        gathered = torch.empty(self.getSize() * host.numel(), dtype=host.dtype)
        self._wire.all_gather(gathered, host)
        for row, part in zip(rows, gathered.view(self.getSize(), -1)):
            unpack(part, row)

    def all_gather_single(self, output: torch.Tensor, source: torch.Tensor, opts: Any = None) -> Work:
        """`output` becomes everyone's `source` behind each other."""
        return self.all_gather_single_coalesced([output], [source], opts)

    def all_gather_single_coalesced(self, outputs: Tensors, inputs: Tensors, opts: Any = None) -> Work:
        """`all_gather_single` of several pairs of tensors."""
        name = "all_gather_into_tensor"
        require_dense(name, [*outputs, *inputs])
        require_writable(name, outputs)
        for output, source in zip(outputs, inputs):
            require_times(name, self.getSize(), source, output)

        def run() -> None:
            for output, source in zip(outputs, inputs):
                host = target(output)
                self._wire.all_gather(host, packed(source))
                unpack(host, output)

        return self._submit(name, [*outputs, *inputs], outputs, opts or AllgatherOptions(), run)

    def gather(self, outputs: Sequence[Tensors], inputs: Tensors, opts: Any) -> Work:
        """The root's `outputs[0][r]` becomes rank r's `inputs[0]`."""
        source = inputs[0]
        at_root = self.getRank() == opts.rootRank
        rows = outputs[0] if at_root else []
        require_dense("gather", [*rows, source])
        if at_root:
            require_writable("gather", rows)
            require_rows("gather", rows, self.getSize())
            require_alike("gather", rows, source)

        def run() -> None:
            host = packed(source)
            gathered = torch.empty(self.getSize() * host.numel(), dtype=host.dtype) if at_root else None
            self._wire.gather(gathered, host, opts.rootRank)
            if gathered is not None:
                for row, part in zip(rows, gathered.view(self.getSize(), -1)):
                    unpack(part, row)

        return self._submit("gather", [*rows, source], rows, opts, run)

    def scatter(self, outputs: Tensors, inputs: Sequence[Tensors], opts: Any) -> Work:
        """`outputs[0]` becomes the root's `inputs[0][rank]`."""
        output = outputs[0]
        at_root = self.getRank() == opts.rootRank
        rows = inputs[0] if at_root else []
        require_dense("scatter", [*rows, output])
        require_writable("scatter", outputs)
        if at_root:
            require_rows("scatter", rows, self.getSize())
            require_alike("scatter", rows, output)

        def run() -> None:
            host = target(output)
            self._wire.scatter(
                host, torch.cat([packed(row) for row in rows]) if at_root else None, opts.rootRank
            )
            unpack(host, output)

        return self._submit("scatter", [*rows, output], outputs, opts, run)

    def all_to_all_single(
        self,
        output: torch.Tensor,
        source: torch.Tensor,
        output_splits: Sequence[int],
        input_splits: Sequence[int],
        opts: Any = None,
    ) -> Work:
        """Rows of `source` to every rank, rows of every rank in `output`; splits count rows of the first
        axis, and none means equal parts."""
        name = "all_to_all_single"
        require_dense(name, [output, source])
        require_writable(name, [output])
        received = elements(name, output, output_splits, self.getSize())
        sent = elements(name, source, input_splits, self.getSize())

        def run() -> None:
            host = target(output)
            self._wire.all_to_all(host, packed(source), received, sent)
            unpack(host, output)

        return self._submit(name, [output, source], [output], opts or AllToAllOptions(), run)

    def alltoall(self, outputs: Tensors, inputs: Tensors, opts: Any = None) -> Work:
        """`inputs[r]` to rank r; `outputs[r]` becomes what rank r sends to this one."""
        require_dense("all_to_all", [*outputs, *inputs])
        require_writable("all_to_all", outputs)
        for rows in (outputs, inputs):
            require_rows("all_to_all", rows, self.getSize())

        def run() -> None:
            received, sent = ([each.numel() for each in rows] for rows in (outputs, inputs))
            host = torch.empty(sum(received), dtype=outputs[0].dtype)
            self._wire.all_to_all(host, torch.cat([packed(each) for each in inputs]), received, sent)
            for part, output in zip(host.split(received), outputs):
                unpack(part, output)

        return self._submit("all_to_all", [*outputs, *inputs], outputs, opts or AllToAllOptions(), run)

    def barrier(self, opts: Any = None) -> Work:
        """Until every rank is here."""

        def run() -> None:
            token = torch.zeros(self.getSize(), dtype=torch.uint8)
            self._wire.all_gather(token, token[:1].clone())

        return self._submit("barrier", [], [], opts or BarrierOptions(), run)

    # ---- between two ranks -------------------------------------------------------------------------

    def send(self, tensors: Tensors, destination: int, tag: int) -> Work:
        """The tensors to one rank. Strided ones are packed before this returns."""
        require_dense("send", tensors)
        for tensor in tensors:
            settle(moment([tensor]))
        hosts = [packed(tensor) for tensor in tensors]
        works = [self._wire.gloo.send([as_bytes(host)], destination, tag) for host in hosts]
        return Received(f"send to rank {self._ranks[destination]}", works, lambda: None, self._blame)

    def recv(self, tensors: Tensors, source: int, tag: int) -> Work:
        """The tensors of one rank; written when the work is waited for, where they are not the host's."""
        name = f"recv from rank {self._ranks[source]}"
        return self._received(name, tensors, lambda host: self._wire.gloo.recv([host], source, tag))

    def recv_anysource(self, tensors: Tensors, tag: int) -> Work:
        """The tensors of whoever sends first."""
        return self._received(
            "recv from any rank", tensors, lambda host: self._wire.gloo.recv_anysource([host], tag)
        )

    def _received(self, name: str, tensors: Tensors, ask: Callable[[torch.Tensor], Any]) -> Work:
        require_dense(name, tensors)
        require_writable(name, tensors)
        hosts = [target(tensor) for tensor in tensors]
        works = [ask(as_bytes(host)) for host in hosts]

        def write() -> None:
            for host, tensor in zip(hosts, tensors):
                unpack(host, tensor)

        return Received(name, works, write, self._blame)

    # ---- names that PyTorch used before 2.13 -------------------------------------------------------

    _allgather_base = all_gather_single
    allgather_into_tensor_coalesced = all_gather_single_coalesced
    _reduce_scatter_base = reduce_scatter_single
    reduce_scatter_tensor_coalesced = reduce_scatter_single_coalesced
    alltoall_base = all_to_all_single

    # ------------------------------------------------------------------------------------------------

    def _submit(self, name: str, used: Tensors, results: Tensors, opts: Any, run: Task) -> Work:
        """Have `run` done by the group's thread, when what the program computes of `used` is there."""
        seconds = opts.timeout.total_seconds()
        ready: Moment = moment(used)

        def task() -> None:
            settle(ready)
            self._liveness.enters(name)
            try:
                run()
                settle(moment(results))
            finally:
                self._liveness.leaves()

        limit = seconds if seconds > 0 else self._seconds
        return self._queue.submit(Pending(name, results, limit * 1.5, self._blame), task)

    def _blame(self, name: str, error: Exception | None) -> RankLost:
        return self._liveness.lost(name, self._ranks, error)


def _process_liveness(store: Store, rank: int, size: int, seconds: float) -> Liveness:
    """The job's beats; the first group that a process makes is the job's."""
    global _whole
    if _whole is None:
        member = members.this_member(rank)
        members.announce(store, member)
        _whole = Liveness(store, rank, size, seconds)
        for each in range(size):
            _whole.members[each] = members.read(store, each)
    return _whole


def create(options: Any, _: Any) -> ChipGroup:
    """What PyTorch calls to make a group: `options` are its `_DistributedBackendOptions`. What the group
    keeps in the store is under the name of this start."""
    rank, size, timeout = options.group_rank, options.group_size, options.timeout
    store = PrefixStore(start_of(options.store, rank, size, timeout.total_seconds()), options.store)
    return ChipGroup(store, rank, size, timeout, options.global_ranks_in_group)


def register() -> None:
    """Let PyTorch know the back end `anychip`. No device's own default changes."""
    backend = dist.Backend
    defaults = dict(backend.default_device_backend_map)
    devices = ["cpu", "cuda", "xpu", torch._C._get_privateuse1_backend_name()]
    backend.register_backend(NAME, create, extended_api=True, devices=devices)
    backend.default_device_backend_map.clear()
    backend.default_device_backend_map.update(defaults)
