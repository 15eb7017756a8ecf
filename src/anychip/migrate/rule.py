"""What a rule is: a stable code, what it recognises, and what to do about it.

A rule is data. Flows in: the tables of `rules/`, one file a family. Flows out: records that the readers match
against a file, and that messages and the page of rules are made of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Need(Enum):
    """What a program must run on for the thing a rule recognises to work as it stands."""

    CUDA_DEVICE = "a device that PyTorch calls cuda"
    """NVIDIA's chips, AMD's, and those of makers whose builds of PyTorch took over the name."""
    NVIDIA = "a chip of NVIDIA's"
    UNKNOWN = "not known"


class Role(Enum):
    """What a string is for in a program."""

    VALUE = "handed on"
    TEST = "compared with"
    EITHER = "either"


@dataclass(frozen=True, slots=True)
class Strings:
    """String literals that a rule recognises: `pattern` is a regular expression for the whole of one. What an
    f-string computes stands as `{}` in it. `only_arguments`: as an argument of a call only."""

    pattern: str
    role: Role = Role.EITHER
    only_arguments: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of thing that binds a program to a vendor.

    `names` are qualified names; each covers what lies below it, the longest one wins, and a `*` at the end
    covers all that begin so. `methods` are called on objects of unknown type, `attributes` are read from
    them.
    `no_device` are callables that take CUDA if no argument names a device. `imports` are top-level modules,
    `options` keyword arguments and keys of kernels' options, `suffixes` files, `requirements` distributions,
    `lines` regular expressions for lines of files that are not Python.

    `instead` gives advice for a kind of device, by PyTorch's name of it, that replaces the general one.
    `harmless_elsewhere`: it does nothing, without an error, where there is no CUDA, so that it may stay
    beside code that was made portable.
    """

    code: str
    name: str
    message: str
    advice: str
    need: Need = Need.CUDA_DEVICE
    names: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    no_device: tuple[str, ...] = ()
    strings: tuple[Strings, ...] = ()
    imports: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    instead: Mapping[str, str] = field(default_factory=dict)
    harmless_elsewhere: bool = False
