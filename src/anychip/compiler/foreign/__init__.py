"""Machine code for chips that are not this machine.

TTIR text and the name of a chip or target go in; a `Record` per kernel comes out, with the object
code or with the reason why there is none. The compilers run in a worker process: some abort the
process on input they do not support, which then costs one record and not the program.
"""

from .client import compile_for, compile_library
from .records import ForeignKernel, LibraryRecord, Record

__all__ = ["ForeignKernel", "LibraryRecord", "Record", "compile_for", "compile_library"]
