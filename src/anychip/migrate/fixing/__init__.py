"""Fixes: what may be rewritten, the helper that rewritten code calls, and the edits of a file."""
