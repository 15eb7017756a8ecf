"""Search: what is fastest on this chip, measured within a budget of time and kept in the tuning database."""
