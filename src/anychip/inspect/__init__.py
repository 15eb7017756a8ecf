"""A kernel taken out of a file or an operator, the types it is compiled for, and its text at each stage."""
