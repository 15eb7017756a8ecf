"""`anychip ops` and `anychip test`: the operators of the library, listed and proved."""

from __future__ import annotations

from .listing import ops
from .proof import prove

VERBS = {"ops": ops, "test": prove}
