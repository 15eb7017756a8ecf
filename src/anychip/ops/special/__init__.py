"""Special functions of mathematics as pointwise operators, a family a file."""
