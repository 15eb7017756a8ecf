"""The rules by what they recognise, so that a reader asks a table once for each node. Flows in: rules. Flows
out: the rule for a name, a module, a string, an option, a line or a file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from ..rule import Role, Rule
from ..rules import RULES


class Tables:
    """Rules by what they recognise."""

    def __init__(self, rules: Iterable[Rule]):
        rules = tuple(rules)
        self._names = {name: rule for rule in rules for name in rule.names if not name.endswith("*")}
        self._beginnings = {n[:-1]: rule for rule in rules for n in rule.names if n.endswith("*")}
        self._imports = {module: rule for rule in rules for module in rule.imports}
        self._strings = [(re.compile(s.pattern), s, rule) for rule in rules for s in rule.strings]
        self._requirements = {name: rule for rule in rules for name in rule.requirements}
        self.methods = {name: rule for rule in rules for name in rule.methods}
        self.attributes = {name: rule for rule in rules for name in rule.attributes}
        self.no_device = {name: rule for rule in rules for name in rule.no_device}
        self.options = {name: rule for rule in rules for name in rule.options}
        self.suffixes = {suffix: rule for rule in rules for suffix in rule.suffixes}
        self.lines = [(re.compile(line), rule) for rule in rules for line in rule.lines]
        self.by_string = cache(self._by_string)
        """The rule for a string, by what it is for and whether it is an argument of a call."""

        self._words = sorted(_words(rules))

    def may_match(self, text: str) -> bool:
        """Whether a file of Python may hold anything that a rule recognises: a search for words that is much
        faster than parsing, and finds too much."""
        return any(word in text for word in self._words)

    def by_name(self, qualified: str) -> Rule | None:
        """The rule of the longest name that covers this one."""
        covering = qualified
        while covering:
            if (rule := self._names.get(covering)) is not None:
                return rule
            covering = covering.rpartition(".")[0]
        return next((rule for start, rule in self._beginnings.items() if qualified.startswith(start)), None)

    def by_module(self, module: str) -> Rule | None:
        """The rule of a module that is imported, or of the package it belongs to."""
        while module:
            if (rule := self._imports.get(module)) is not None:
                return rule
            module = module.rpartition(".")[0]
        return None

    def by_requirement(self, distribution: str) -> Rule | None:
        """The rule of a distribution, by its name in any spelling."""
        name = re.sub(r"[-_.]+", "-", distribution).lower()
        if (rule := self._requirements.get(name)) is not None:
            return rule
        return next(
            (
                rule
                for pattern, rule in self._requirements.items()
                if pattern.endswith("*") and name.startswith(pattern[:-1])
            ),
            None,
        )

    def _by_string(self, text: str, role: Role, is_argument: bool) -> Rule | None:
        for pattern, strings, rule in self._strings:
            applies = strings.role in (role, Role.EITHER) and (is_argument or not strings.only_arguments)
            if applies and pattern.fullmatch(text):
                return rule
        return None


WORDS_OF_STRINGS = frozenset(
    {
        "cuda",
        "CUDA",
        "CUDNN",
        "CUBLAS",
        "cuobjdump",
        "CUPY",
        ".cu",
        "nccl",
        "NCCL",
        "nvcc",
        "nvidia",
        "NVIDIA",
    }
    | {"nvprof", "nsys", "ncu", "ptxas", "TensorRT", "Tensorrt", "__global__", "__device__", "TF_FORCE_GPU"}
)
"""One of these stands in every string that a rule's patterns recognise."""


def _words(rules: Iterable[Rule]) -> set[str]:
    """Words of which one stands in every file in which one of the rules recognises anything."""
    words = set(WORDS_OF_STRINGS)
    for rule in rules:
        words |= {name.rpartition(".")[2] for name in (*rule.names, *rule.no_device) if "cuda" not in name}
        words |= {module.partition(".")[0] for module in rule.imports}
        words |= {*rule.options, *rule.methods, *rule.attributes}
    return words


TABLES = Tables(RULES.values())
