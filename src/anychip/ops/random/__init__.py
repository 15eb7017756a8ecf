"""Random numbers from the Philox counter generator."""
