"""Questions about tile IR that change nothing: the structure of addresses, memory effects, which loops
wait."""
