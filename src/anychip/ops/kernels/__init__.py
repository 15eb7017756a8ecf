"""A vocabulary of kernels: what more than one family of operators, here and in `llm`, writes its kernels
with. Triton inlines these functions, so that a kernel is what it would be with their text in it."""
