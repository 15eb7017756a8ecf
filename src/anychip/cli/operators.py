"""`anychip ops`: the operators of the library, from its registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import output, table, write_json
from .errors import CommandError, MissingExtra, did_you_mean

if TYPE_CHECKING:
    from ..ops.registry import Operator


def ops(
    domain: Annotated[str, typer.Option(help="List only the operators of this domain.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """List the operators that portable kernels serve, and the PyTorch overloads that they take over."""
    try:
        from ..ops import registry
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtra("ops", "PyTorch", "pip install 'anychip[torch]'") from None

    known = sorted(registry.operators().values(), key=lambda operator: (operator.domain, operator.name))
    domains = {operator.domain for operator in known}
    if domain and domain not in domains:
        raise CommandError(f"there is no domain {domain!r}.", did_you_mean(domain, domains))
    shown = [operator for operator in known if domain in ("", operator.domain)]
    records = [_record(operator) for operator in shown]
    if as_json:
        write_json(records)
        return
    rows = (
        (
            r["name"],
            r["domain"],
            ", ".join(r["overloads"]),
            " ".join(r["dtypes"]),
            "yes" if r["backward"] else "no",
        )
        for r in records
    )
    output.print(table(("operator", "domain", "overloads", "element types", "backward"), rows))
    served = sum(len(operator.overloads) for operator in shown)
    output.print(f"{len(shown)} operators serve {served} overloads.")


def _record(operator: Operator) -> dict[str, Any]:
    return {
        "name": operator.name,
        "domain": operator.domain,
        "overloads": [overload.name for overload in operator.overloads],
        "kernels": sorted({kernel.__name__ for kernel in operator.kernels}),
        "dtypes": [str(dtype).removeprefix("torch.") for dtype in operator.dtypes],
        "backward": operator.differentiable,
    }
