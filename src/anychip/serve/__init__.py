"""Language models served on the chip at hand: weights as they are stored, an engine that batches requests
over a paged cache, and what a front end (the command line, an HTTP server) asks of it."""
