"""How fast this checkout is, beside others of it."""
