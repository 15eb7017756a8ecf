"""Mixtures of experts: routing, dispatch, grouped products."""
