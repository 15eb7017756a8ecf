"""Pooling over windows of one to three spatial dimensions, forward and backward."""
