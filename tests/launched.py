"""What ran: kernels of ours by the names that records have for them, not just any."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from anychip.ops.launching import launch_counts
from anychip.ops.registry import operators, overloads


@contextmanager
def launched(*names: str) -> Iterator[Counter[str]]:
    """Inside, a kernel of the record of each named operator, or overload, is launched. Gives the launches of
    the block by kernel, once it has ended."""
    found: Counter[str] = Counter()
    before = Counter(launch_counts)
    yield found
    found.update(launch_counts - before)
    for name in names:
        record = overloads()[name][0] if name in overloads() else operators()[name]
        assert any(record.owns(kernel) for kernel in found), f"{name}: only {dict(found)} were launched"
