"""Errors of the runtime: loading machine code, packing arguments, running launches."""

from __future__ import annotations

from ..compiler.schedule.bounds import SEPARATOR
from ..errors import AnychipError


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


class OutOfBounds(DeviceAssertion, IndexError):
    """A kernel compiled with checks (ANYCHIP_SANITIZE=1) accessed memory that is not of its argument's
    tensor.

    `access` is "reads", "writes" or "updates", `argument` the parameter's name, `place` file and line of the
    kernel's source. `offset` counts bytes from the argument's address; `low` and `high` are the tensor's
    memory likewise, None where they are not known; `size` is that of an element in bytes, `slot` the
    argument's.
    """

    def __init__(
        self,
        kernel: str,
        access: str,
        argument: str,
        place: str,
        program_id: tuple[int, int, int],
        offset: int,
        size: int,
        slot: int,
        bounds: tuple[int, int] | None = None,
    ):
        self.slot = slot
        self.access, self.argument, self.place = access, argument, place
        self.offset, self.size, self.bounds = offset, size, bounds
        extent = ""
        if bounds is not None:
            low, high = (bound // size for bound in bounds)
            extent = (
                f"; its memory holds elements {low} to {high - 1}" if low < high else "; it has no memory"
            )
        super().__init__(kernel, "an access out of bounds", program_id)
        self.args = (
            f"{kernel}, program instance {program_id}, {place}: {access} element {offset // size} of "
            f"{argument} (byte {offset} from the pointer), which is out of bounds{extent}",
        )

    def within(self, bounds: tuple[int, int]) -> OutOfBounds:
        """The same, with the bounds told."""
        return OutOfBounds(
            self.kernel,
            self.access,
            self.argument,
            self.place,
            self.program_id,
            self.offset,
            self.size,
            self.slot,
            bounds,
        )

    @classmethod
    def of_message(
        cls, kernel: str, message: str, program_id: tuple[int, int, int], offset: int
    ) -> OutOfBounds:
        """From the text of the check that failed (see `compiler.schedule.bounds`)."""
        _, access, argument, slot, rest = message.split(SEPARATOR)
        size, place = rest.split(" ", 1)
        return cls(kernel, access, argument, place.strip("()"), program_id, offset, int(size), int(slot))

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        fields = (self.kernel, self.access, self.argument, self.place, self.program_id, self.offset)
        return (type(self), (*fields, self.size, self.slot, self.bounds))


class IndexAssertion(DeviceAssertion, IndexError):
    """A `device_assert` of a kernel whose message begins with "index" failed: in PyTorch's words, and in
    Python's, an IndexError."""
