"""One LLVM module as text: declarations, constants, functions and metadata, each written once."""

from __future__ import annotations

from collections.abc import Sequence

from .types import PTR, VOID, LLType, Val


class LLModule:
    """Declarations, constants and functions of one LLVM module, each added once."""

    def __init__(self, triple: str = "", data_layout: str = ""):
        self.triple = triple
        self.data_layout = data_layout
        self.declarations: dict[str, str] = {}
        self.functions: dict[str, str] = {}
        self.results: dict[str, LLType] = {}
        """What functions return."""
        self.metadata: list[str] = []
        self._strings: dict[bytes, str] = {}
        self.nan_tests_of_integers = False
        """Whether vectors are tested for NaN by their bits."""

    def declare(self, name: str, result: LLType | str, args: Sequence[LLType | str], attrs: str = "") -> None:
        """Declare external function `name` (without the `@`) unless it was already."""
        if name not in self.declarations:
            params = ", ".join(map(str, args))
            self.declarations[name] = f"declare {result} @{name}({params}) {attrs}".rstrip()

    def add_function(self, name: str, text: str, result: LLType = VOID) -> None:
        """Add function `name` (without the `@`), which returns a `result`."""
        self.functions[name] = text
        self.results[name] = result

    def string(self, data: bytes) -> Val:
        """The address of a constant, zero-terminated byte string."""
        if data not in self._strings:
            name = f"anychip.str.{len(self._strings)}"
            body = "".join(f"\\{b:02X}" for b in data + b"\0")
            text = f'@{name} = private unnamed_addr constant [{len(data) + 1} x i8] c"{body}"'
            self.declarations[f"@{name}"] = text
            self._strings[data] = f"@{name}"
        return Val(self._strings[data], PTR)

    def table(self, name: str, type: LLType, values: Sequence[str]) -> Val:
        """The address of a constant array of scalars."""
        if f"@{name}" not in self.declarations:
            body = ", ".join(f"{type} {v}" for v in values)
            self.declarations[f"@{name}"] = (
                f"@{name} = private unnamed_addr constant [{len(values)} x {type}] [{body}], align 64"
            )
        return Val(f"@{name}", PTR)

    def keep(self, names: Sequence[str]) -> None:
        """Have the compiler keep functions that nothing seems to use, e.g. because it calls them itself."""
        used = ", ".join(f"ptr @{name}" for name in names)
        self.declarations["@llvm.compiler.used"] = (
            f'@llvm.compiler.used = appending global [{len(names)} x ptr] [{used}], section "llvm.metadata"'
        )

    def add_metadata(self, body: str) -> str:
        """Add a metadata node; returns its reference, e.g. `!3`."""
        self.metadata.append(body)
        return f"!{len(self.metadata) - 1}"

    def __str__(self) -> str:
        head = []
        if self.data_layout:
            head.append(f'target datalayout = "{self.data_layout}"')
        if self.triple:
            head.append(f'target triple = "{self.triple}"')
        meta = [f"!{i} = {body}" for i, body in enumerate(self.metadata)]
        return "\n".join([*head, *self.declarations.values(), *self.functions.values(), *meta, ""])
