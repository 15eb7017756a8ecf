"""How LLVM IR is written here: as text, by functions that are named after its instructions.

`types` has types and values, `module` what a module holds, `builder` instructions of any number of lanes (for
kernels). Code of single numbers (the runtime's, and that of exported libraries) is written on what stands on
them: `scalar` takes Python's integers as constants, `flow` has branches and loops as `with` blocks, `struct`
fields of structures by name, `routine` functions that call each other.
"""
