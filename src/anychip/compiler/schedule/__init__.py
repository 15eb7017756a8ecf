"""Tile IR to steps over loop nests and buffers, without LLVM. Flows in: a function of tile IR and a target.
Flows out: a `Schedule`."""
