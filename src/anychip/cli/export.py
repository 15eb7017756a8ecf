"""`anychip export`: a C library of a function, a recorded Program or a saved model, for another chip.

Flows in: FILE.py:NAME or a model saved by `torch.export`, and a chip. Flows out: a folder with the library,
and a table of its sizes; with --check, the example's run under the chip's emulator.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import messages, output, table, write_json
from .errors import CommandError, did_you_mean
from .needs import require_packages
from .options import AsJson

if TYPE_CHECKING:
    from ..pytorch.program import Program

EXAMPLES = "example_inputs"
"""The function of a file that gives the arguments to capture with."""
LAUNCH = "example_launch"
"""The function of a file that gives a kernel's grid and its arguments by name."""


def export(
    subject: Annotated[
        str,
        typer.Argument(
            help="FILE.py:NAME, a function or module to capture with the arguments that the file's "
            f"{EXAMPLES}() returns, a kernel whose grid and arguments by name the file's {LAUNCH}() returns, "
            "or a function without parameters that returns a Program; or MODEL.pt2."
        ),
    ],
    chip: Annotated[str, typer.Option(help="A chip, or a target such as cortex-m55.")],
    directory: Annotated[Path, typer.Option("--output", "-o", help="The folder to make.")],
    name: Annotated[str, typer.Option(help="Prefix of the C names.")] = "",
    check: Annotated[bool, typer.Option("--check", help="Run the example and compare with PyTorch.")] = False,
    embed_weights: Annotated[
        bool | None,
        typer.Option("--embed-weights/--separate-weights", help="Weights in the library, or beside it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a C library for a chip that runs no Python: no allocation, no operating system needed.

    Nothing is written when the chip is unknown or cannot run the subject. Exit status 1 if the check fails.
    """
    require_packages("export")
    from ..compiler.foreign.routes import resolve
    from ..compiler.targets import Target
    from ..edge import folder
    from ..edge.check import check as run_check
    from ..edge.check import require_core
    from ..edge.report import rows

    target = resolve(chip)
    folder.require_free(directory)
    if check and isinstance(target, Target):
        require_core(target)
    program = load_program(subject)
    library = program.export(chip, directory, name=name or None, embed_weights=embed_weights)
    checked = run_check(directory) if check else None
    if as_json:
        result: dict[str, Any] = {"directory": str(directory), "report": library.report}
        if checked is not None:
            result["check"] = {"emulator": checked.emulator, "differences": checked.differences}
        write_json(result)
        return
    output.print(table(("", ("", "right")), rows(library.report), title=f"{library.name} for {chip}"))
    kernels = [
        (
            row["kernel"],
            row["launches"],
            row["code_bytes"],
            row["stack_bytes"],
            "" if row["flops"] is None else row["flops"],
            row["bytes_moved"],
        )
        for row in library.report["kernels"]
    ]
    numbers = [(text, "right") for text in ("launches", "code bytes", "stack", "flops", "bytes moved")]
    output.print(table(("kernel", *numbers), kernels))
    needed = sorted(symbol for kind in library.report["undefined_symbols"].values() for symbol in kind)
    output.print(f"Needs from elsewhere: {', '.join(needed) or 'nothing'}.")
    messages.print(f"Written to {directory}")
    if checked is not None:
        for tensor, relative in checked.differences.items():
            output.print(f"{tensor}: {relative:.1e} of the largest element from PyTorch ({checked.emulator})")


def load_program(subject: str) -> Program:
    """The Program that a subject names. Raises CommandError for what is not there."""
    path, separator, name = subject.rpartition(":")
    if separator and path.endswith(".py"):
        return _from_file(Path(path), name)
    if subject.endswith(".pt2"):
        return _from_saved(Path(subject))
    raise CommandError(
        f"{subject!r} names nothing to export.", "Write FILE.py:NAME, or give a model saved by torch.export."
    )


def _from_saved(path: Path) -> Program:
    import torch

    from ..pytorch.capture import capture

    try:
        saved = torch.export.load(str(path))
    except Exception as error:
        raise CommandError(
            f"cannot load {path}: {error}", "Save the model with torch.export.save."
        ) from error
    if saved.range_constraints:
        raise CommandError(
            f"{path} has dimensions of no fixed size ({', '.join(map(str, saved.range_constraints))}).",
            "Export it with torch.export.export and static shapes: a library's shapes are fixed.",
        )
    if saved.example_inputs is None:
        raise CommandError(f"{path} was saved without example inputs.", "Save it with torch.export.save.")
    arguments, keywords = saved.example_inputs
    return capture(saved.module(), *arguments, **keywords)


def _from_file(path: Path, name: str) -> Program:
    from ..pytorch.capture import capture
    from ..pytorch.program import Program

    module = _imported(path)
    found = getattr(module, name, None)
    if found is None:
        raise CommandError(f"{path} has no {name!r}.", did_you_mean(name, dir(module)))
    if isinstance(found, Program):
        return found
    if hasattr(found, "fn"):
        return _from_kernel(module, name)
    if not callable(found) or isinstance(found, type):
        raise CommandError(
            f"{name} in {path} is {_described(found)}, which cannot be captured.",
            "Name a function, a module (an object, not its class), a kernel or a Program.",
        )
    if hasattr(module, EXAMPLES) and _takes_arguments(found):
        inputs = getattr(module, EXAMPLES)()
        return capture(found, *(inputs if isinstance(inputs, list | tuple) else (inputs,)))
    if _needs_arguments(found):
        raise CommandError(
            f"{name} takes arguments, and {path} does not say which.",
            f"Define {EXAMPLES}() in it, which returns the tensors to call {name} with, as a tuple.",
        )
    made = found()
    if not isinstance(made, Program):
        raise CommandError(
            f"{name}() gave a {type(made).__name__}, not a Program.",
            f"Return anychip.capture(...), or define {EXAMPLES}() for the arguments of {name}.",
        )
    return made


def _from_kernel(module: Any, name: str) -> Program:
    from ..pytorch.kernel_capture import capture_kernel

    if not hasattr(module, LAUNCH):
        raise CommandError(
            f"{name} is a kernel, which has no grid of its own.",
            f"Define {LAUNCH}(), which returns the grid and the arguments by name: "
            '(16,), {"x": torch.rand(1000), "n": 1000, ...}; or name a function that launches it.',
        )
    grid, arguments = getattr(module, LAUNCH)()
    return capture_kernel(getattr(module, name), grid, arguments)


def _described(value: Any) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"


def _needs_arguments(function: Any) -> bool:
    import torch

    if isinstance(function, torch.nn.Module):
        function = function.forward
    plain = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return any(each.default is each.empty and each.kind not in plain for each in parameters)


def _takes_arguments(function: Any) -> bool:
    return bool(inspect.signature(function).parameters)


def _imported(path: Path) -> Any:
    """The file as a module, as `import` would run it (not its main program)."""
    if not path.is_file():
        raise CommandError(f"{path} is no file.", "Give the path of a Python file.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise CommandError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(path.parent))
    return module
