"""Figures of exports and small programs, and the pages that show them."""
