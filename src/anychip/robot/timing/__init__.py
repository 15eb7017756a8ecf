"""Motions in time: point to point and to rest within limits of velocity, acceleration and jerk."""
