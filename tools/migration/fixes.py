"""What the fixes of `anychip migrate` do to packages of other projects. Flows in: a folder of unpacked
packages. Flows out: how many files are rewritten, and of these how many do not parse (by Python and by
libcst), and how many differ from what they were in anything but the helper.
`python -m tools.migration.fixes FOLDER [PACKAGE...] [--record] [--libcst]`.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from pathlib import Path

from anychip.migrate import ScannedFile, scan
from anychip.migrate.reading.source import SourceText

from . import undoing
from .labels import ROOT

RECORD = ROOT / "evidence" / "migration" / "fixes.json"


def checked(file: ScannedFile, with_libcst: bool) -> Counter[str]:
    """What is to be said of a file's safe fixes, and of all its fixes."""
    counts: Counter[str] = Counter(files=1)
    if file.plan is None:
        return counts
    counts["held back"] += bool(file.plan.held_back)
    for kind, unsafe in (("safe", False), ("all", True)):
        data = file.plan.fixed(unsafe)
        if data == file.source.data:
            continue
        counts[f"{kind}: rewritten"] += 1
        try:
            text = SourceText(file.source.file, data).text
            same = undoing.before(file.source.text) == undoing.after(text)
            if with_libcst:
                import libcst  # pyright: ignore[reportMissingImports] (an extra)

                libcst.parse_module(data)
        except Exception as error:  # of either parser; a fix must not cause one
            counts[f"{kind}: broken"] += 1
            print(f"{file.source.file}: {error}")
            continue
        counts[f"{kind}: not the same but for the helper"] += not same
        if not same:
            print(f"{file.source.file}: {kind}: not the same but for the helper")
    return counts


def main() -> None:
    """Check every package of the folder, or those named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("packages", nargs="*")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--libcst", action="store_true")
    options = parser.parse_args()
    kept = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {}
    here = Path.cwd()
    for package in options.packages or sorted(path.name for path in options.folder.iterdir()):
        os.chdir(options.folder / package)
        counts: Counter[str] = Counter()
        for file in scan([Path()]).files:
            counts += checked(file, options.libcst)
        os.chdir(here)
        kept[package] = dict(sorted(counts.items()))
        print(package, kept[package])
    if options.record:
        RECORD.write_text(json.dumps(dict(sorted(kept.items())), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
