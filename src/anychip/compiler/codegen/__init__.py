"""Steps over loop nests to LLVM IR text. Flows in: a `Schedule` and a target. Flows out: one LLVM function;
each file holds the rules of one kind of step or operation, registered by decorators (`dispatch.py`)."""
