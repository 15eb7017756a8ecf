"""`anychip migrate`: what binds programs to one vendor's chips, and rewriting what can be rewritten safely.

Flows in: files and folders, the chip to move to. Flows out: findings as text, JSON or SARIF; differences;
fixed files. The exit status is 1 where findings remain.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ... import __version__
from ..console import messages, output, write_json
from ..errors import CommandError, did_you_mean
from ..options import AsJson
from .chips import target_of
from .program import run_watched

if TYPE_CHECKING:
    from ...migrate import Finding, Scan


def migrate(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files and folders to read.")],
    chip: Annotated[
        str,
        typer.Option("--chip", "--target", help="The chip to move to: what runs there as it is is left out."),
    ] = "",
    select: Annotated[
        str, typer.Option(metavar="CODES", help="Only these codes, or beginnings of codes: AC1,AC301.")
    ] = "",
    diff: Annotated[
        bool, typer.Option("--diff", help="Show what --fix would change, and change nothing.")
    ] = False,
    fix: Annotated[
        bool, typer.Option("--fix", help="Rewrite what does the same on CUDA afterwards.")
    ] = False,
    unsafe_fixes: Annotated[
        bool, typer.Option("--unsafe-fixes", help="Rewrite everything that can be; alone, it implies --fix.")
    ] = False,
    baseline: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Leave out the findings that this file knows.")
    ] = None,
    write_baseline: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the findings into this file, for --baseline.")
    ] = None,
    sarif: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help='Write SARIF 2.1.0 into this file ("-": standard output).'),
    ] = None,
    run: Annotated[
        str,
        typer.Option(
            metavar="PROGRAM", help="Run this script too, and list what it used that was not found."
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Find what binds programs to one vendor's chips, and rewrite what can be rewritten."""
    from ...migrate import scan
    from ...migrate.suppression import read_baseline, unknown
    from ...migrate.suppression import write_baseline as write_known

    if sum((as_json, diff, sarif is not None and str(sarif) == "-")) > 1:
        raise CommandError("--json, --diff and --sarif - all write to standard output.", "Choose one.")
    codes = _codes(select)
    target = target_of(chip)
    found = scan(paths, target, codes)
    if (fix or unsafe_fixes) and not diff:
        _fix(found, unsafe_fixes, quiet=as_json)
        found = scan(paths, target, codes)
    if diff:
        sys.stdout.write("".join(_differences(found, unsafe_fixes)))
        return
    keys = [(each, file.key_of[each]) for file in found.files for each in file.findings]
    if write_baseline is not None:
        write_known(write_baseline, (key for _, key in keys))
    findings = unknown(keys, read_baseline(baseline)) if baseline is not None else found.findings
    uses = run_watched(run, found) if run else None
    if sarif is not None:
        _write_sarif(findings, sarif)
    if as_json:
        from ...migrate.formats.plain import report

        write_json(report(findings, found.portable) | ({} if uses is None else {"uses": uses}))
    elif sarif is None or str(sarif) != "-":
        _show(findings, found, uses)
    if findings and write_baseline is None:
        raise typer.Exit(1)


def _codes(select: str) -> tuple[str, ...]:
    """The beginnings of codes that `--select` names. Raises CommandError for one that no rule has."""
    from ...migrate.rules import RULES

    codes = tuple(part.strip().upper() for part in select.split(",") if part.strip())
    for code in codes:
        if not any(known.startswith(code) for known in RULES):
            raise CommandError(f"--select {code}: no code begins so.", did_you_mean(code, RULES))
    return codes


def _differences(found: Scan, unsafe: bool) -> list[str]:
    from ...migrate.formats.text import difference

    return [difference(f.source, f.plan.fixed(unsafe)) for f in found.files if f.plan is not None]


def _fix(found: Scan, unsafe: bool, quiet: bool) -> None:
    """Rewrite files, and say which, and which are left as they are."""
    changed = 0
    for file in found.files:
        if file.plan is None:
            continue
        after = file.plan.fixed(unsafe)
        if after != file.source.data:
            file.path.write_bytes(after)
            changed += 1
        elif file.plan.held_back and not quiet:
            messages.print(f"{file.source.file}: left as it is: {file.plan.held_back}", markup=False)
    if not quiet:
        messages.print(f"rewrote {changed} of {len(found.files)} files")


def _write_sarif(findings: Sequence[Finding], file: Path) -> None:
    import json

    from ...migrate.formats.sarif import log

    data = log(findings, __version__)
    if str(file) == "-":
        write_json(data)
        return
    file.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    messages.print(f"wrote {file}")


def _show(findings: Sequence[Finding], found: Scan, uses: list[dict[str, object]] | None) -> None:
    from ...migrate.formats.text import lines

    for line in lines(findings):
        output.print(line, markup=False, highlight=False, soft_wrap=True)
    for use in uses or ():
        output.print(
            f"{use['file']}:{use['line']}: used {use['what']}, {use['count']} times; reading did not find it",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    number = len(findings)
    messages.print(
        f"{number} finding{'' if number == 1 else 's'} in {len(found.files)} files; "
        f"{100 * found.portable:.0f} % of the files have none"
    )


VERBS = {"migrate": migrate}
