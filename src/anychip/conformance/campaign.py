"""What is known of the operators on one chip. Flows in: the name of a chip or target, and what runs its code.
Flows out: a campaign, which a run fills with proofs (`run.py`), and of which a record is made.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from .. import chips
from ..compiler.foreign.records import Record, StockTarget
from ..compiler.foreign.routes import resolve
from ..compiler.targets import Target
from ..emulation.cores import ENGINES, Core, core_for
from ..emulation.errors import EmulationError, MissingEmulator
from ..emulation.execution import host_name, require_emulator
from ..emulation.linking import require_linker
from ..evidence.outcome import Proof
from ..evidence.proof import RECORD
from . import ledger as ledgers


@dataclass(slots=True)
class Compiled:
    """Kernels compiled for a target: their names, and the errors of those that were not compiled."""

    names: set[str] = field(default_factory=set)
    errors: dict[str, str] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        """Count what became of a kernel."""
        self.names.add(record.kernel)
        if not record.ok:
            self.errors[record.kernel] = record.error


@dataclass(slots=True)
class Campaign:
    """What is known of a chip so far. `core` is None where no emulator runs its code, with `reason`."""

    chip: str
    target: Target | StockTarget
    core: Core | None
    reason: str = ""
    proofs: list[Proof] = field(default_factory=list)
    compiled: Compiled = field(default_factory=Compiled)
    vector_form: Compiled = field(default_factory=Compiled)
    """Code for the target itself, where the emulator runs another form of it."""
    scalar_form: Compiled = field(default_factory=Compiled)
    """Code without vectors, for what cannot be emulated with them."""
    in_scalar_form: set[str] = field(default_factory=set)
    """Operators of which some trial ran in that form."""

    @property
    def done(self) -> set[str]:
        """Operators that need no more."""
        return {proof.subject.removeprefix(RECORD) for proof in self.proofs}

    @property
    def tier(self) -> str:
        """A run on another product or core than the one named is no native run of it, though this machine
        has every instruction of it."""
        if self.core is None:
            return "compiled"
        if self.core.kind != "native":
            return "emulated"
        return "native" if _is_here(self.chip, self.target) else "compiled"

    @property
    def remark(self) -> str:
        """What a record says beside the tier."""
        if self.core is None:
            return self.reason
        if self.core.kind == "native" and self.tier == "compiled":
            return f"the code ran on {host_name()}, which has every instruction of {self.target.name}"
        return "; ".join(filter(None, (self.core.remark, self._scalar_remark)))

    @property
    def _scalar_remark(self) -> str:
        if self.core is None or self.core.otherwise is None or not self.in_scalar_form:
            return ""
        return (
            f"{len(self.in_scalar_form)} operators, whose vector form this emulator fails at, ran in part "
            f"as {self.core.otherwise.name}"
        )


def begin(
    chip: str, ledger: Path | None = None, *, compile_only: bool = False, engine: str = ENGINES[0]
) -> Campaign:
    """A campaign for a chip, with what an earlier one left in `ledger`. Raises UnknownTarget, or
    EmulationError for a GPU, which no emulator here runs, unless it is only compiled for. `engine`: what
    runs WebAssembly."""
    target = resolve(chip)
    campaign = Campaign(chip, target, None)
    try:
        if compile_only:
            raise MissingEmulator("only compilation was asked for")
        if not isinstance(target, Target):
            raise EmulationError(
                f"{chip} is a GPU; run `anychip test --record` on it, or compile for it with --compile-only"
            )
        core = core_for(target, emulate_native=not _is_here(chip, target), engine=engine)
        require_emulator(core)
        require_linker()
        campaign.core = core
    except MissingEmulator as error:
        campaign.reason = str(error).splitlines()[0]
    if ledger is not None and ledger.exists():
        ledgers.read(campaign, ledger)
    return campaign


def _is_here(chip: str, target: Target | StockTarget) -> bool:
    """Whether this machine is the chip, by the system's or LLVM's name; a level of the architecture is
    wherever its features are."""
    if chip in chips.identifiers():
        here = chips.detect_host().chip
        return here is not None and here.identifier == chip
    return target.name.startswith("x86-64") or (isinstance(target, Target) and target.cpu == host_name())
