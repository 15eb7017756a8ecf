"""Rigid motions: poses of a translation and a quaternion, twists, Jacobians of the exponential map."""
