"""What serving was measured at, and what was served."""
