"""What is asked of the worker process and what it answers: plain data that can be pickled."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..targets import Target


@dataclass(frozen=True, slots=True)
class ForeignKernel:
    """A kernel as TTIR text, with inlined functions and without descriptors, before any pass of ours.

    `num_warps` and `num_stages` matter to GPUs only; without them, Triton's own numbers for the GPU hold.
    """

    name: str
    ttir: str
    num_warps: int | None = None
    num_stages: int | None = None


@dataclass(frozen=True, slots=True)
class StockTarget:
    """A GPU that stock Triton compiles for: the three fields of its `GPUTarget`."""

    name: str
    backend: str
    architecture: int | str
    warp_size: int


@dataclass(frozen=True, slots=True)
class Record:
    """What became of one kernel on one chip.

    `chip` is the name that was asked for, `target` what was compiled for. `object_format` is
    "elf", "mach-o", "wasm", "cubin" or "hsaco"; `code_bytes` the size of its executable sections;
    `assembly` its text as the compiler printed it (PTX for a cubin; empty if it was not asked for);
    `arena_bytes` the scratch memory that one thread needs (kernels of ours). When `error` is not empty
    there is no object code and the fields about it are empty.
    """

    kernel: str
    chip: str
    target: str
    symbol: str = ""
    object_format: str = ""
    object_code: bytes = field(default=b"", repr=False)
    code_bytes: int = 0
    assembly: str = field(default="", repr=False)
    arena_bytes: int = 0
    seconds: float = 0.0
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether the kernel was compiled."""
        return not self.error


@dataclass(frozen=True, slots=True)
class Request:
    """One kernel to compile; `chip` is only handed through to the record."""

    kernel: ForeignKernel
    chip: str
    target: Target | StockTarget
    assembly: bool = True

    @property
    def subject(self) -> str:
        """What is compiled, for messages."""
        return f"kernel {self.kernel.name!r}"

    def failed(self, error: str) -> Record:
        """The record of a request that was not answered."""
        return Record(self.kernel.name, self.chip, self.target.name, error=error)


@dataclass(frozen=True, slots=True)
class LibraryRequest:
    """LLVM IR modules to make one object file of."""

    name: str
    modules: tuple[str, ...]
    target: Target

    @property
    def subject(self) -> str:
        """What is compiled, for messages."""
        return f"library {self.name!r}"

    def failed(self, error: str) -> LibraryRecord:
        """The record of a request that was not answered."""
        return LibraryRecord(self.name, self.target.name, error=error)


@dataclass(frozen=True, slots=True)
class LibraryRecord:
    """What became of a library. `frames` are the bytes of stack that each function takes, by symbol, as
    LLVM laid them out (a function that takes none is not listed). When `error` is not empty there is
    no object code."""

    name: str
    target: str
    object_code: bytes = field(default=b"", repr=False)
    frames: dict[str, int] = field(default_factory=dict)
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether the library was compiled."""
        return not self.error
