"""Errors of the runtime: loading machine code, packing arguments, running launches."""

from __future__ import annotations

from ..compiler.codegen.check_table import Check
from ..errors import AnychipError
from .findings import Finding


class RuntimeFault(AnychipError):
    """Base of what goes wrong between machine code and its launch."""


class CorruptBinary(RuntimeFault):
    """A stored kernel binary is truncated, damaged, or of another version or processor."""

    def __init__(self, reason: str):
        self.reason = reason
        super().__init__(
            f"kernel binary unusable: {reason}\n"
            "  Delete the kernel's folder in Triton's cache (TRITON_CACHE_DIR, by default "
            "~/.triton/cache); it is compiled again at the next launch."
        )

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return (type(self), (self.reason,))


class LoadError(RuntimeFault):
    """Machine code could not be linked into this process."""


class ArgumentError(RuntimeFault, TypeError):
    """A launch was given an argument that the kernel's signature does not take."""


class TooManyPrograms(RuntimeFault, ValueError):
    """The programs of a kernel wait for each other, and there are more of them than can be under way at once.
    `programs` is the grid's number of them, `most` the largest possible one."""

    def __init__(self, kernel: str, programs: int, most: int, place: str):
        self.kernel, self.programs, self.most, self.place = kernel, programs, most, place
        super().__init__(
            f"{kernel}: programs wait for each other in the loop at {place}: all must be under way at once; "
            f"the grid has {programs} programs, at most {most} are possible\n"
            "  Launch fewer programs: with larger tiles, or with a loop over tiles in each."
        )

    def __reduce__(self) -> tuple[type, tuple[str, int, int, str]]:
        return (type(self), (self.kernel, self.programs, self.most, self.place))


class DeviceAssertion(RuntimeFault, RuntimeError):
    """A `device_assert` of a kernel failed. `program_id` is (x, y, z) of the program instance."""

    def __init__(self, kernel: str, message: str, program_id: tuple[int, int, int]):
        self.kernel = kernel
        self.message = message
        self.program_id = program_id
        super().__init__(f"{kernel}: device assertion failed in program instance {program_id}: {message}")

    def __reduce__(self) -> tuple[type, tuple[str, str, tuple[int, int, int]]]:
        return (type(self), (self.kernel, self.message, self.program_id))


class CheckFailed(DeviceAssertion):
    """A kernel compiled with checks (ANYCHIP_SANITIZE) did something that it must not; `finding` says what
    and where."""

    def __init__(self, finding: Finding):
        self.finding = finding
        super().__init__(finding.kernel, str(finding), finding.program)
        self.args = (str(finding),)

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return (type(self), (self.finding,))


class OutOfBounds(CheckFailed, IndexError):
    """An access to memory that is not of its argument's tensor, or not of its view."""


class OffsetOverflow(CheckFailed, OverflowError):
    """An access whose offset overflowed in 32 bits."""


class UninitialisedRead(CheckFailed):
    """A read of memory that nobody has written."""


class MisalignedDescriptor(CheckFailed):
    """A tensor descriptor whose address or strides are not aligned as GPUs demand."""


class RaceFound(CheckFailed):
    """Program instances of one launch access an element in no order, and one of them writes it."""


class NotFinite(CheckFailed, ArithmeticError):
    """A number that is not finite was made of finite ones."""


_FAILURES: dict[Check, type[CheckFailed]] = {
    Check.BOUNDS: OutOfBounds,
    Check.OVERFLOW: OffsetOverflow,
    Check.UNINITIALISED: UninitialisedRead,
    Check.ALIGNMENT: MisalignedDescriptor,
    Check.RACE: RaceFound,
    Check.NONFINITE: NotFinite,
}


def failure(finding: Finding) -> CheckFailed:
    """The error that a finding is raised as."""
    return _FAILURES[finding.site.check](finding)


class IndexAssertion(DeviceAssertion, IndexError):
    """A `device_assert` of a kernel whose message begins with "index" failed: in PyTorch's words, and in
    Python's, an IndexError."""
