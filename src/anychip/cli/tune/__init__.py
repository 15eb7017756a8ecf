"""`anychip tune`: what is fastest on this chip, searched within a budget and kept in a database."""

from __future__ import annotations

import typer

from .database import export, import_, show
from .defaults import expect
from .gain import gain
from .kernel import kernel
from .model import model
from .operators import ops

application = typer.Typer(
    help="Find what is fastest on this chip, and keep it for the policy 'auto' and for later runs.",
    no_args_is_help=True,
)
application.command("expect", hidden=True)(expect)
application.command("gain")(gain)
application.command("show")(show)
application.command("export")(export)
application.command("import")(import_)
application.command("ops")(ops)
application.command("model", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
    model
)
application.command("kernel")(kernel)

VERBS = {"tune": application}
