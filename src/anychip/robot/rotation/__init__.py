"""Rotations: quaternions, matrices, rotation vectors, Euler angles, six numbers, and what joins them."""
