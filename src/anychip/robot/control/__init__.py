"""Filters, controllers and steps of policies' action heads."""
