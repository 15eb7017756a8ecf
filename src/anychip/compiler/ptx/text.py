"""Reads the PTX of `tl.inline_asm_elementwise`: instructions, scopes and declarations of registers.

Flows in: the text. Flows out: instructions in order, with operands as written, and the declared registers
with their types. The grammar is that of NVIDIA's "PTX ISA" (chapters 4 and 5), without labels, directives
other than `.reg`, and addresses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_DECLARATION = re.compile(r"\.reg\s+\.(\w+)\s+(.*)", re.DOTALL)
_NUMBERED = re.compile(r"([\w$%]+)<(\d+)>")
_INSTRUCTION = re.compile(r"(?:@(!?)([\w$%]+)\s+)?([a-z][\w]*(?:\.\w+|::\w+)*)\s*(.*)", re.DOTALL)
_OPERAND = re.compile(r"\{[^{}]*\}|[^,{}]+")
_PLACEHOLDER = re.compile(r"\$\{(\d+)(?::\w+)?\}|\$(\d+)")
MOST_REGISTERS = 4096
"""Of one declaration `name<count>`."""


class Malformed(Exception):
    """The text is not PTX that is read here; the message says where."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """`@guard name.modifiers operands`. An operand is a register, a number, `{a, b}`, or `p|q`."""

    text: str
    name: str
    modifiers: tuple[str, ...]
    operands: tuple[str, ...]
    guard: str = ""
    inverted: bool = False


@dataclass(slots=True)
class Assembly:
    """Instructions in order, and the type (`b32`, `pred`, ...) of each declared register. Registers of inner
    scopes have names of their own."""

    instructions: list[Instruction] = field(default_factory=list)
    registers: dict[str, str] = field(default_factory=dict)


def read(text: str) -> Assembly:
    """The program of an assembly string. Raises `Malformed`."""
    text = _PLACEHOLDER.sub(lambda found: f"${found.group(1) or found.group(2)}", _COMMENT.sub(" ", text))
    program = Assembly()
    scopes: list[dict[str, str]] = [{}]
    for statement in _statements(text):
        if statement == "{":
            scopes.append({})
        elif statement == "}":
            if len(scopes) == 1:
                raise Malformed("a scope ends that was not opened")
            scopes.pop()
        elif declared := _DECLARATION.fullmatch(statement):
            _declare(program, scopes[-1], declared.group(1), declared.group(2), len(program.registers))
        else:
            program.instructions.append(_instruction(statement, scopes))
    if len(scopes) > 1:
        raise Malformed("a scope is not closed")
    return program


def _statements(text: str) -> list[str]:
    """Statements and the braces of scopes; braces of operands stay in their statements."""
    found: list[str] = []
    rest = text.replace("\0", "").strip()
    while rest:
        if rest[0] in "{}":
            found.append(rest[0])
            rest = rest[1:].lstrip()
            continue
        statement, _, rest = rest.partition(";")
        if statement.strip():
            found.append(statement.strip())
        rest = rest.lstrip()
    return found


def _declare(program: Assembly, scope: dict[str, str], kind: str, names: str, number: int) -> None:
    for name in names.split(","):
        name = name.strip()
        numbered = _NUMBERED.fullmatch(name)
        if numbered and int(numbered.group(2)) > MOST_REGISTERS:
            raise Malformed(f"{name} declares more than {MOST_REGISTERS} registers")
        each = [f"{numbered.group(1)}{k}" for k in range(int(numbered.group(2)))] if numbered else [name]
        for one in each:
            scope[one] = f"{one}.{number}"
            program.registers[scope[one]] = kind


def _instruction(statement: str, scopes: list[dict[str, str]]) -> Instruction:
    found = _INSTRUCTION.fullmatch(statement)
    if found is None:
        raise Malformed(f"{statement!r} is no instruction")
    name, *modifiers = found.group(3).replace("::", ".").split(".")
    operands = tuple(
        _resolved(part.strip(), scopes) for part in _OPERAND.findall(found.group(4)) if part.strip()
    )
    guard = _resolved(found.group(2), scopes) if found.group(2) else ""
    return Instruction(statement, name, tuple(modifiers), operands, guard, found.group(1) == "!")


def _resolved(operand: str, scopes: list[dict[str, str]]) -> str:
    """The operand with the registers' own names."""

    def renamed(found: re.Match[str]) -> str:
        for scope in reversed(scopes):
            if found.group() in scope:
                return scope[found.group()]
        return found.group()

    return re.sub(r"[A-Za-z_$%][\w$%]*(?:\.\w+)?", renamed, operand)
