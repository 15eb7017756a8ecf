"""Runs of the judge over many candidates, from the root of the repository."""
