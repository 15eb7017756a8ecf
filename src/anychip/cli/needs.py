"""Which verb of the command needs which optional packages."""

from __future__ import annotations

from ..packages import require

NEEDS: dict[str, tuple[str, ...]] = {
    "bench": ("torch", "numpy"),
    "chat": ("torch", "transformers", "tokenizers", "gguf", "jinja2"),
    "cluster": ("torch",),
    "conform": ("torch", "numpy"),
    "debug": ("torch",),
    "demo": ("torch", "transformers"),
    "explain OPERATOR": ("torch",),
    "export": ("torch",),
    "export MODEL.gguf": ("torch", "transformers", "tokenizers", "gguf"),
    "generate": ("torch", "transformers", "tokenizers", "gguf"),
    "judge": ("torch", "numpy", "cryptography"),
    "link": ("torch", "numpy", "msgpack", "websockets"),
    "ops": ("torch", "numpy"),
    "profile": ("torch", "numpy"),
    "pages": ("torch", "numpy"),
    "run": ("torch",),
    "serve": (
        "torch",
        "transformers",
        "tokenizers",
        "gguf",
        "jinja2",
        "fastapi",
        "uvicorn",
        "prometheus_client",
    ),
    "test": ("torch", "numpy"),
    "train": ("torch",),
    "tune": ("torch", "numpy"),
}
"""Verb -> modules without which it does nothing. `doctor`, `chips` and `explain FILE.py:KERNEL` need none."""


def require_packages(verb: str) -> None:
    """Raise MissingPackage for what is missing of what the verb needs."""
    require(f"anychip {verb}", NEEDS[verb])
