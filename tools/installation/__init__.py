"""Which versions of dependencies are installed, were tested, and can be installed."""
