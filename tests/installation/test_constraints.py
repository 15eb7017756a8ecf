"""`constraints.txt` covers what the two commands install, on every supported Python."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tools.installation import constraints

ROOT = Path(__file__).resolve().parents[2]


def _makefile(name: str) -> Requirement:
    (value,) = re.findall(rf"^{name} \?= (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return Requirement(value)


@pytest.mark.parametrize("python", constraints.supported_pythons())
def test_every_dependency_has_one_version_within_its_range(python):
    versions = constraints.constrained(python)
    needed = [need for need in constraints.declared() if need.name not in ("torch", "triton")]
    assert len(needed) > 15
    outside = [
        str(need)
        for need in needed
        if (need.marker is None or need.marker.evaluate({"python_version": python}))
        and not need.specifier.contains(versions.get(canonicalize_name(need.name), ""))
    ]
    assert not outside


@pytest.mark.parametrize("name", ["TORCH", "TRITON"])
def test_the_makefiles_versions_are_supported(name):
    chosen = _makefile(name)
    (pin,) = chosen.specifier
    assert pin.operator == "=="
    ranges = [need.specifier for need in constraints.declared() if need.name == chosen.name]
    assert ranges
    assert all(pin.version in supported for supported in ranges)


def test_no_line_names_a_place_to_install_from():
    for line in constraints.FILE.read_text().splitlines():
        if not line.startswith("#"):
            requirement = Requirement(line)
            assert requirement.url is None
            assert [pin.operator for pin in requirement.specifier] == ["=="]


def test_each_python_reads_its_own_versions(tmp_path, monkeypatch):
    by_python = {
        "3.11": {"same": "1.0", "newer": "1.0", "early": "3.0"},
        "3.12": {"same": "1.0", "newer": "1.0", "late": "2.0"},
        "3.13": {"same": "1.0", "newer": "1.1", "late": "2.0"},
    }
    lines = constraints.lines(by_python)
    assert "same==1.0" in lines
    monkeypatch.setattr(constraints, "FILE", tmp_path / "constraints.txt")
    constraints.FILE.write_text("\n".join(lines))
    for python, versions in by_python.items():
        read = constraints.constrained(python)
        assert {name: read[name] for name in versions} == versions


def test_the_comparison_names_what_differs(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(constraints, "FILE", tmp_path / "constraints.txt")
    constraints.FILE.write_text("same==1.0\nolder==1.0\ngone==3.0\n")
    versions = {"same": "1.0", "older": "1.1", "added": "0.1", "torch": "2.13.0+cpu", "nvidia-nccl": "1"}
    installed = {
        name: constraints.Package(name, version, (), SpecifierSet()) for name, version in versions.items()
    }
    monkeypatch.setattr(constraints, "installed", lambda python: installed)
    monkeypatch.setattr(constraints, "python_version_of", lambda python: "3.11")
    constraints.compare("python", ["torch==2.13.0", "triton==3.9.0"])
    table, count = capsys.readouterr().out.rsplit("\n", 2)[:2]
    rows = [line.split() for line in table.splitlines()]
    assert rows == [
        ["package", "constrained", "newest"],
        ["added", "-", "0.1"],
        ["gone", "3.0", "-"],
        ["older", "1.0", "1.1"],
        ["triton", "3.9.0", "-"],
    ]
    assert count == "4 differ, 3 packages are in both."


def _package(name, version, requires=(), python="", tags="py3-none-any"):
    parsed = constraints.parse_tag(tags)
    demands = tuple(map(Requirement, requires))
    return constraints.Package(name, version, demands, constraints.SpecifierSet(python), parsed)


class _Index(constraints.Resolution):
    """A registry with wheels of `compiled` 2.5 and `late` 1.0 for Python 3.12."""

    def _pip(self, requirements):
        (requirement,) = map(Requirement, requirements)
        known = {"compiled": "2.5", "late": "1.0"}
        if not requirement.specifier.contains(known[requirement.name]):
            return f"ERROR: No matching distribution found for {requirement}"
        return [{"name": requirement.name, "version": known[requirement.name]}]


TESTED = [
    _package(
        "pure", "1.0", ["compiled>=2", "late ; python_version >= '3.12'", "early ; python_version < '3.12'"]
    ),
    _package("compiled", "2.4", tags="cp311-cp311-manylinux_2_28_x86_64"),
    _package("stable", "4.0", tags="cp39-abi3-manylinux_2_28_x86_64"),
    _package("early", "3.0"),
    _package("torch", "2.13.0", ["stable"]),
]


def test_another_python_gets_a_version_that_exists_for_it():
    resolution = _Index("3.12", {package.name: package for package in TESTED})
    versions = resolution.resolve([Requirement("pure"), Requirement("torch")])
    assert versions == {"pure": "1.0", "compiled": "2.5", "late": "1.0", "stable": "4.0"}


def test_a_demand_that_the_tested_version_breaks_ends_the_script():
    resolution = _Index("3.12", {package.name: package for package in TESTED})
    with pytest.raises(SystemExit, match=r"pure 1\.0 was tested, >=2 is demanded"):
        resolution.resolve([Requirement("pure>=2")])


@pytest.mark.parametrize(
    ("package", "serves"),
    [
        (_package("a", "1"), True),
        (_package("a", "1", python="<3.12"), False),
        (_package("a", "1", tags="py2.py3-none-manylinux_2_17_x86_64"), True),
        (_package("a", "1", tags="cp38-abi3-manylinux_2_17_x86_64"), True),
        (_package("a", "1", tags="cp313-abi3-manylinux_2_17_x86_64"), False),
        (_package("a", "1", tags="cp312-cp312-manylinux_2_17_x86_64"), False),
    ],
)
def test_wheels_of_no_one_python_serve_others(package, serves):
    assert package.serves_any("3.12") is serves
