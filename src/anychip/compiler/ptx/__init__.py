"""Inline PTX of plain meaning as tile IR. Flows in: the text of an `asm` operation. Flows out: operations
that every target has."""
