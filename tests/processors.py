"""Processors on which the whole suite was run and every trial outside of the bound of proofs was settled.
The last bits of vectorised functions, PyTorch's and ours, differ from core to core: on others a trial may be
outside that nobody has looked at, so tests there grant a multiple of the bound. `make test-ops` grants none,
and its record says what it found."""

from __future__ import annotations

from pathlib import Path

SETTLED = frozenset({("AuthenticAMD", 25, 1)})
"""Maker, family and model as Linux names them."""

UNSETTLED_SLACK = 4.0


def this_one() -> tuple[str, int, int] | None:
    """Maker, family and model of the processors; None where Linux does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    parts = (line.split(":", 1) for line in lines if ":" in line)
    told = {name.strip(): value.strip() for name, value in parts}
    try:
        return told["vendor_id"], int(told["cpu family"]), int(told["model"])
    except (KeyError, ValueError):
        return None


def slack() -> float:
    """The multiple of the bound that tests grant here."""
    return 1.0 if this_one() in SETTLED else UNSETTLED_SLACK
