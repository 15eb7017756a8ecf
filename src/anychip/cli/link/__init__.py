"""`anychip link`: a robot's policy on a server, with deadlines. Thin verbs over the room `link`."""

from __future__ import annotations

import typer

from .plan import measure, plan
from .robot import run
from .server import serve
from .torture import torture

application = typer.Typer(
    help="A robot's policy on a server: no action after its time, none twice, a stop when all else fails.",
    no_args_is_help=True,
)
for name, verb in (
    ("plan", plan),
    ("measure", measure),
    ("serve", serve),
    ("run", run),
    ("torture", torture),
):
    application.command(name)(verb)

VERBS = {"link": application}
