"""The policy "auto": PyTorch's kernel or ours, whichever is faster on this chip for the call at hand."""
