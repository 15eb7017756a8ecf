"""One process against every cut of the work: losses and outputs, for the table in `docs/training.md`.

python -m tools.training.parity run                # every row, into evidence/training/parity.json
python -m tools.training.parity run --rows ddp tp2 --json   # some rows, to standard output
anychip pages --write training                     # the table
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from anychip.evidence.record import commit
from anychip.markdown import table
from anychip.measurements.chip import identify

from .ranks import pretrain

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "evidence" / "training" / "parity.json"
SMALL = ("--batch", "4", "--length", "32")


@dataclass(frozen=True, slots=True)
class Row:
    """A run and what it is compared with: options of the run, and of the reference, a single process. Where
    `resumed_from` is a cut, the run goes on from a checkpoint that this cut wrote after half of the steps."""

    title: str
    options: tuple[str, ...]
    reference: tuple[str, ...] = ()
    resumed_from: str = ""


def _cut(name: str, *more: str) -> tuple[str, ...]:
    return ("--parallel", name, *more)


UNEVEN = ("--vocabulary", "257")
HALF = ("--dtype", "bfloat16")
ROWS = {
    "single": Row("one process, against eager PyTorch", _cut("single"), ("--policy", "pytorch")),
    "ddp": Row("DDP, 2 ranks", _cut("ddp")),
    "fsdp2": Row("FSDP2, 2 ranks", _cut("fsdp2")),
    "tp2": Row("tensors in parts (DTensor), 2 ranks", _cut("tp2")),
    "pp2": Row("pipeline, 1F1B, 2 ranks", _cut("pp2")),
    "pp2-interleaved": Row(
        "pipeline, interleaved, 2 ranks of 2 stages", _cut("pp2", "--schedule", "interleaved")
    ),
    "pp2-zbv": Row("pipeline, ZBV, 2 ranks of 2 stages", _cut("pp2", "--schedule", "zbv")),
    "cp2": Row("windows in parts (ring attention), 2 ranks", _cut("cp2")),
    "ep2": Row("experts in parts, 2 ranks", _cut("ep2")),
    "dp2tp2": Row("FSDP2 of 2 by tensors of 2, 4 ranks", _cut("dp2tp2")),
    "uneven-tp2": Row("257 tokens of vocabulary, tensors in parts", _cut("tp2", *UNEVEN), UNEVEN),
    "uneven-fsdp2": Row("257 tokens of vocabulary, FSDP2", _cut("fsdp2", *UNEVEN), UNEVEN),
    "resume-single": Row("resumed in one process", _cut("single"), resumed_from="single"),
    "resume-fsdp2-tp2": Row("FSDP2, resumed with tensors in parts", _cut("tp2"), resumed_from="fsdp2"),
    "resume-pp2-fsdp2": Row("pipeline, resumed by FSDP2", _cut("fsdp2"), resumed_from="pp2"),
    "resume-uneven": Row(
        "257 tokens, tensors in parts, resumed by FSDP2", _cut("fsdp2", *UNEVEN), UNEVEN, resumed_from="tp2"
    ),
    "bfloat16-ddp": Row("bf16 autocast, DDP", _cut("ddp", *HALF), HALF),
}
"""Name -> a row of the table."""
CHEAP = ("single", "ddp", "fsdp2", "tp2", "cp2")
"""The rows that `make test` runs."""


@dataclass(frozen=True, slots=True)
class Parity:
    """What was found: `loss_ulp` is the largest difference of a step's losses in units in the last place of
    f32, `logit_ulp` that of two logits in units of the largest logit's last place, `divergence` the mean KL
    divergence of the next token's distribution, in nats; `fallen` are operators that PyTorch's kernels
    served."""

    row: str
    losses: list[float]
    reference: list[float]
    loss_ulp: float
    logit_ulp: float
    divergence: float
    fallen: list[Any]


def compare(name: str, steps: int, policy: str = "strict") -> Parity:
    """Run a row and its reference for so many steps."""
    row = ROWS[name]
    reference = row.reference if "--policy" in row.reference else (*row.reference, "--policy", policy)
    expected, wanted = _run(("--parallel", "single", *reference), steps)
    with tempfile.TemporaryDirectory() as folder:
        options = (*row.options, "--policy", policy)
        before: list[float] = []
        if row.resumed_from:
            first = tuple(row.resumed_from if x == row.options[1] else x for x in options)
            half, _ = _run((*first, "--save", folder), steps // 2)
            before, options = half["losses"], (*options, "--resume", folder)
        got, logits = _run(options, steps - len(before))
    losses = [*before, *got["losses"]]
    differences = [
        abs(a - b) / np.spacing(np.float32(b)) for a, b in zip(losses, expected["losses"], strict=True)
    ]
    return Parity(
        name,
        losses,
        expected["losses"],
        float(max(differences)),
        float((logits - wanted).abs().max()) / float(np.spacing(np.float32(wanted.abs().max()))),
        divergence(wanted, logits),
        got["fallen"],
    )


@cache
def _kept(options: tuple[str, ...], steps: int) -> tuple[dict[str, Any], torch.Tensor]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "logits.pt"
        result = pretrain(*options, *SMALL, "--steps", str(steps), "--logits", str(file))
        return result, torch.load(file).double()


def _run(options: tuple[str, ...], steps: int) -> tuple[dict[str, Any], torch.Tensor]:
    """A run and its logits; one that leaves or reads nothing is made once."""
    alone = not {"--save", "--resume"} & set(options)
    return _kept(options, steps) if alone else _kept.__wrapped__(options, steps)


def divergence(wanted: torch.Tensor, logits: torch.Tensor) -> float:
    """The mean over positions of KL(wanted, logits), in nats; logits in f64 [..., vocabulary]."""
    p, q = wanted.log_softmax(dim=-1), logits.log_softmax(dim=-1)
    return float((p.exp() * (p - q)).sum(dim=-1).mean())


# ---- record and table --------------------------------------------------------------------------------


def _lines(record: dict[str, Any]) -> Iterator[tuple[object, ...]]:
    for row in record["rows"]:
        equal = row["loss_ulp"] == 0 and row["logit_ulp"] == 0
        yield (
            ROWS[row["row"]].title,
            f"{row['losses'][0]:.4f} to {row['losses'][-1]:.4f}",
            "bits equal" if row["loss_ulp"] == 0 else f"{row['loss_ulp']:.1f} ulp",
            "bits equal" if equal else f"{row['logit_ulp']:.0f} ulp",
            "0" if equal else f"{row['divergence']:.1e}",
        )


def section(record: dict[str, Any]) -> str:
    """The table of a record."""
    made = table(
        ["cut", "losses", "losses differ by", "logits differ by", "KL divergence, nats"], _lines(record)
    )
    facts = (
        f"{record['steps']} steps, PyTorch {record['torch']}, {record['chip']}, policy {record['policy']}."
    )
    return f"{facts}\n\n{made}"


def _record(given: argparse.Namespace, found: dict[str, Any]) -> dict[str, Any]:
    return {
        "chip": identify(1).model,
        "torch": torch.__version__,
        "steps": given.steps,
        "policy": given.policy,
        "rows": [found[name] for name in ROWS if name in found],
    }


def _earlier(like: dict[str, Any]) -> dict[str, Any]:
    """Rows of the record, where it is of the same machine, PyTorch, steps and policy."""
    if not RECORD.exists():
        return {}
    record = json.loads(RECORD.read_text())
    rows = record.pop("rows")
    del like["rows"]
    return {row["row"]: row for row in rows} if record == like else {}


def _keep(record: dict[str, Any]) -> None:
    RECORD.parent.mkdir(exist_ok=True)
    RECORD.write_text(json.dumps(record, indent=1) + "\n")


def main() -> None:
    """Run rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("run",))
    parser.add_argument("--rows", nargs="*", choices=ROWS, default=list(ROWS))
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--policy", choices=("strict", "portable", "auto"), default="strict")
    parser.add_argument("--json", action="store_true", help="to standard output; the record stays as it is")
    given = parser.parse_args()
    found = {} if given.json else _earlier(_record(given, {}))
    for name in given.rows:
        parity = compare(name, given.steps, given.policy)
        found[name] = {**asdict(parity), "commit": commit()}
        if not given.json:
            print(name, parity.loss_ulp, parity.logit_ulp, parity.divergence, flush=True)
            _keep(_record(given, found))
    if given.json:
        print(json.dumps(_record(given, found)))


if __name__ == "__main__":
    main()
