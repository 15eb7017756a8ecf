"""Running foreign machine code on this machine: linked by `ziglang`, executed under QEMU or wasmtime
configured as the core that it was compiled for. No times are taken: an emulator's say nothing of a chip."""
