"""Figures of the link between robots and servers, measured on this machine."""
