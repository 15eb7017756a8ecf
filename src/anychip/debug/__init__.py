"""Tools that find faults of kernels and runs: what the sanitizer found, gathered and told."""
