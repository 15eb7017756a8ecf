"""Prepared runs for a machine with a GPU and no network: what is proved and measured there within some
minutes, written down after every piece, so that a run that is cut short loses nothing and another one goes
on."""
