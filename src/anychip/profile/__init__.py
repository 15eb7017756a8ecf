"""What a program spends its time on: operators, kernels, their launches and compilations, memory, Python."""
