"""The peers on a CPU: `torch.compile`, ONNX Runtime, JAX. Each is optional.

Flows in: a case with its data. Flows out: a callable that computes the same, or `Unavailable` with the
reason, which becomes a blank in the table.
"""

from __future__ import annotations

import importlib.util
import io
import logging
import os
import shutil
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import torch

from ..suggestions import did_you_mean
from .case import Case, Work
from .errors import BenchmarkError

Prepare = Callable[[Case, Work], Callable[[], Any]]


class Unavailable(Exception):
    """This peer cannot compute this case."""


@dataclass(frozen=True, slots=True)
class Peer:
    """`requires`: modules that must be installed. `prepare` makes the callable for a case."""

    name: str
    requires: tuple[str, ...]
    prepare: Prepare

    def missing(self) -> list[str]:
        """The required modules that are not installed."""
        return [module for module in self.requires if importlib.util.find_spec(module) is None]


def _inductor(case: Case, work: Work) -> Callable[[], Any]:
    if not work.exportable:
        raise Unavailable("not compiled")
    if not (os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")):
        raise Unavailable("there is no C++ compiler")
    torch._dynamo.reset()
    compiled = torch.compile(work.pytorch, dynamic=False)
    return _tried(lambda: compiled(*work.arguments))


def _onnx_runtime(case: Case, work: Work) -> Callable[[], Any]:
    if not work.exportable:
        raise Unavailable("not exported")
    if case.dtype == torch.bfloat16:
        raise Unavailable("no bf16 on its CPU provider")
    import onnxruntime

    class Module(torch.nn.Module):
        def forward(self, *arguments: Any) -> Any:
            return work.pytorch(*arguments)

    names = [f"x{k}" for k in range(len(work.arguments))]
    with _quietly():
        try:
            program = torch.onnx.export(
                Module(), work.arguments, dynamo=True, input_names=names, verbose=False
            )
            model = program.model_proto.SerializeToString() if program is not None else b""
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = torch.get_num_threads()
            options.log_severity_level = 3
            session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise Unavailable(_first_line(error)) from error
    feeds = {name: argument.numpy() for name, argument in zip(names, work.arguments, strict=True)}
    return _tried(lambda: session.run(None, feeds))


def _jax(case: Case, work: Work) -> Callable[[], Any]:
    if work.jax is None:
        raise Unavailable("no function for it")
    import jax
    import jax.numpy as numpy

    jax.config.update("jax_platforms", "cpu")
    function = work.jax

    def arrays() -> Sequence[Any]:
        return [
            numpy.asarray(x.float().numpy()).astype(numpy.bfloat16)
            if x.dtype == torch.bfloat16
            else numpy.asarray(x.numpy())
            for x in work.arguments
        ]

    compiled = jax.jit(lambda *arguments: function(jax, numpy, *arguments))
    try:
        inputs = [jax.device_put(x) for x in arrays()]
    except Exception as error:
        raise Unavailable(_first_line(error)) from error
    run = _tried(lambda: compiled(*inputs).block_until_ready())
    return _JaxCall(run)


@dataclass(frozen=True, slots=True)
class _JaxCall:
    """Runs JAX; its result answers to `torch.as_tensor` only when it is looked at."""

    run: Callable[[], Any]

    def __call__(self) -> _JaxResult:
        return _JaxResult(self.run())


@dataclass(frozen=True, slots=True)
class _JaxResult:
    array: Any

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        import numpy

        narrow = "bfloat16" in str(self.array.dtype)
        return numpy.array(self.array, dtype=numpy.float32 if narrow else None)


PEERS: tuple[Peer, ...] = (
    Peer("inductor", (), _inductor),
    Peer("onnxruntime", ("onnxruntime", "onnx", "onnxscript"), _onnx_runtime),
    Peer("jax", ("jax",), _jax),
)


def chosen(names: Sequence[str]) -> tuple[Peer, ...]:
    """The peers of these names that are installed; "all" is every one.

    Raises `BenchmarkError` for a name that is not a peer's.
    """
    known = {peer.name: peer for peer in PEERS}
    if "all" in names:
        names = list(known)
    for name in names:
        if name not in known:
            raise BenchmarkError(f"there is no peer {name!r}.\n  {did_you_mean(name, [*known, 'all'])}")
    return tuple(known[name] for name in names if not known[name].missing())


def _tried(call: Callable[[], Any]) -> Callable[[], Any]:
    """`call`, after one run that may find out that the peer cannot do it."""
    with _quietly(), torch.no_grad():
        try:
            call()
        except Exception as error:
            raise Unavailable(_first_line(error)) from error
    return call


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"[:120]


class _quietly:
    """Without the peers' progress reports."""

    def __enter__(self) -> None:
        self._streams = (redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()))
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        warnings.simplefilter("ignore")
        self._level = logging.root.manager.disable
        logging.disable(logging.WARNING)
        for stream in self._streams:
            stream.__enter__()

    def __exit__(self, *exception: Any) -> None:
        for stream in reversed(self._streams):
            stream.__exit__(*exception)
        logging.disable(self._level)
        self._warnings.__exit__(*exception)
