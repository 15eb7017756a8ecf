"""Operators called from native code. The second and third call with a signature run the Python path and are
recorded; where both did the same launches, later calls are one native function that finds the record by the
signature, allocates the results, fills in addresses and launches.

`structures` is what Python and the native code share; `signature` and `call` are written in LLVM
IR; `interface` finds PyTorch's stable C interface in this process; `recording` watches a call, `records`
makes of it what native code replays, `sites` has the native callable of each overload and its records."""
