"""What became of compiled graphs: which kernels are ours, what stayed PyTorch's and why, what compiling took.

Flows in: the module that Inductor wrote for a graph, when it is ready; then each call. Flows out: rows for
`anychip.report()`. Nothing of Inductor's is imported here.
"""

from __future__ import annotations

import ast
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

LIBRARY = "torch.ops.anychip."
FUSED = "triton_"
GENERATED_CPP = "cpp_fused"
FOREIGN = ("extern_kernels.", "torch.ops.", "aten.", "prims.", "inductor_prims.")
"""How the calls of a module begin that are neither kernels that Inductor generated nor allocations."""

NO_KERNEL = (
    "Inductor makes no kernel of it, and the library serves it in compiled graphs with none of its own"
)
CPP = "generated in C++, by an option of the caller"


@dataclass(eq=False, slots=True)
class Graph:
    """One compiled graph. `fused` and `library` count the calls of kernels that Inductor generated in Triton
    and of the library's operators in its text, `foreign` those of PyTorch's, with the reason. `seconds` is
    the time of all `calls`, `compiling` that of compiling it."""

    number: int
    kind: str
    compiling: float
    fused: Counter[str]
    library: Counter[str]
    foreign: Counter[tuple[str, str]]
    replay: Callable[[], str]
    """Whether its launches are replayed in one call, or why not, in words."""
    calls: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class _Compiling(threading.local):
    """The compilation that is under way in this thread: when it began, and why nodes were left to PyTorch."""

    start: float = 0.0
    reasons: dict[str, str] = field(default_factory=dict)


graphs: list[Graph] = []
_compiling = _Compiling()
_lock = threading.Lock()


def begin() -> None:
    """A graph is about to be compiled."""
    _compiling.start = perf_counter()
    _compiling.reasons = {}


def left(reasons: dict[str, str]) -> None:
    """Why nodes of the graph that is compiled are PyTorch's, by the operator's name."""
    _compiling.reasons.update(reasons)


def ready(kind: str, source: str, replay: Callable[[], str], rules: dict[str, str]) -> Graph:
    """Note a graph that was compiled to a module of this source. `rules` say when operators are the
    library's, for a graph that came from a cache, where nobody asked."""
    fused, library, others = calls_of(source)
    known = {**rules, **_compiling.reasons}
    foreign = Counter({(name, _reason(name, known)): number for name, number in others.items()})
    now = perf_counter()
    with _lock:
        made = Graph(len(graphs), kind, now - (_compiling.start or now), fused, library, foreign, replay)
        graphs.append(made)
    begin()
    return made


def counted(graph: Graph, run: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`run`, with its calls and their time added to the graph's."""

    def call(inputs: Any) -> Any:
        start = perf_counter()
        try:
            return run(inputs)
        finally:
            graph.calls += 1
            graph.seconds += perf_counter() - start

    return call


def reset() -> None:
    """Count calls anew; what was compiled stays compiled."""
    for graph in graphs:
        graph.calls, graph.seconds = 0, 0.0


def calls_of(source: str) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """The calls in a module of Inductor's: of kernels generated in Triton, of the library's operators, and of
    PyTorch's, by name."""
    fused: Counter[str] = Counter()
    library: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for name in _called(source):
        if name.startswith(FUSED) and name.endswith(".run"):
            fused[name.removesuffix(".run")] += 1
        elif name.startswith(LIBRARY):
            library[name.removeprefix(LIBRARY).partition(".")[0]] += 1
        elif name.startswith((*FOREIGN, GENERATED_CPP)):
            others[_short(name)] += 1
    return fused, library, others


def _called(source: str) -> Iterable[str]:
    """The dotted names that a module calls."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            parts = []
            function = node.func
            while isinstance(function, ast.Attribute):
                parts.append(function.attr)
                function = function.value
            if isinstance(function, ast.Name):
                yield ".".join([function.id, *reversed(parts)])


def _short(name: str) -> str:
    """An operator's name as ATen has it, without its overload."""
    for start in ("extern_kernels.", "torch.ops.aten.", "aten."):
        if name.startswith(start):
            return name.removeprefix(start).partition(".")[0]
    return name


def _reason(name: str, known: dict[str, str]) -> str:
    return CPP if name.startswith(GENERATED_CPP) else known.get(name, NO_KERNEL)
