"""The chips that are shipped, and the messages for files with mistakes."""

from __future__ import annotations

import pytest

from anychip import chips
from anychip.chips.loading import load
from anychip.compiler.foreign.errors import PluginNeeded
from anychip.compiler.foreign.routes import resolve


def test_every_shipped_chip_names_targets_that_compilers_know():
    assert len(chips.all()) >= 64
    assert len(chips.manufacturers()) >= 30
    for chip in chips.all():
        if chip.plugin is not None:
            with pytest.raises(PluginNeeded, match=chip.plugin.backend):
                resolve(chip.identifier)
            continue
        assert resolve(chip.identifier) == resolve(chip.target)
        for unit in chip.units:
            assert resolve(unit.target).name == unit.target


def test_identifiers_are_found_in_any_case():
    assert chips.get("Nvidia-H100") is chips.get("nvidia-h100")
    assert set(chips.identifiers()) == {chip.identifier for chip in chips.all()}


def test_manufacturers_are_listed_once():
    names = [manufacturer.name for manufacturer in chips.manufacturers()]
    assert len(names) == len(set(names)) >= 10


def test_unknown_chip_lists_near_ones():
    with pytest.raises(chips.UnknownChip, match=r"unknown chip 'nvidia-h300'\n  Did you mean nvidia-h[12]00"):
        chips.get("nvidia-h300")


GOOD = """
[manufacturer]
name = "Acme"
website = "https://acme.example"

[[chip]]
id = "acme-one"
name = "One"
class = "edge-board"
year = 2020
source = "Data sheet"

[[chip.unit]]
kind = "cpu"
name = "A"
target = "cortex-a53"
cores = 2
"""


def test_a_file_as_it_should_be():
    [chip] = load(GOOD, "acme.toml")
    assert (chip.identifier, chip.target, chip.manufacturer.name) == ("acme-one", "cortex-a53", "Acme")
    assert chip.units[0].clock_mhz == 0
    assert (chip.category, chip.source, chip.plugin) == ("edge-board", "Data sheet", None)


def test_roofs_caches_and_a_plugin():
    text = GOOD.replace(
        "year = 2020",
        "year = 2020\nmemory_gbs = 100\ntflops = { f32 = 1.5, int8 = 12 }\n"
        'plugin = { device = "acme", backend = "acme", package = "torch-acme", without = ["float64"] }',
    ).replace("cores = 2", "cores = 2\nl1d_kib = 32")
    [chip] = load(text, "acme.toml")
    assert chip.tflops == {"f32": 1.5, "int8": 12.0}
    assert chip.units[0].l1d_kib == 32
    assert chip.plugin == chips.Plugin("acme", "acme", "torch-acme", ("float64",))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "Acme"', "", r"acme.toml: manufacturer.name: is missing\n  Add text in quotes"),
        ("year = 2020", 'year = "2020"', r"acme.toml: chip\[0\].year: '2020' has the wrong type"),
        ("year = 2020", "year = -1", r"chip\[0\].year: -1 cannot be"),
        (
            "edge-board",
            "toaster",
            r"chip\[0\].class: 'toaster' is no class of chips\n  Use one of data-centre",
        ),
        ("year = 2020", "year = 2020\ntflops = { f3 = 1 }", r"chip\[0\].tflops.f3: is no element type"),
        ("year = 2020", "year = 2020\ntflops = { f32 = -1 }", r"chip\[0\].tflops.f32: -1 cannot be"),
        ("year = 2020", "yaer = 2020", r"chip\[0\].year: is missing"),
        ("year = 2020", "year = 2020\ncolour = 1", r"chip\[0\].colour: is unknown\n  Known keys: id, name"),
        ('id = "acme-one"', 'id = "Acme One"', r"chip\[0\].id: 'Acme One' is not an identifier"),
        ('kind = "cpu"', 'kind = "tpu"', r"chip\[0\].unit\[0\].kind: 'tpu' is no kind of unit"),
        ("cores = 2", "cores = true", r"chip\[0\].unit\[0\].cores: True has the wrong type"),
        ("year = 2020", "year = 2020\nhost_names = [1]", r"chip\[0\].host_names: holds something other"),
        ("[[chip.unit]]", "[[chip.units]]", r"chip\[0\].unit: is missing"),
        ("[manufacturer]", "[manufacturer", r"acme.toml: whole file: is not TOML"),
    ],
)
def test_mistakes_are_named_where_they_are(old: str, new: str, message: str):
    with pytest.raises(chips.ChipFileError, match=message) as caught:
        load(GOOD.replace(old, new), "acme.toml")
    assert caught.value.file == "acme.toml"
