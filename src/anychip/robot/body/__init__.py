"""Kinematics and dynamics of a whole robot, as formulas that are written for its tree."""
