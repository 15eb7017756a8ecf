"""C libraries for chips that run no Python: a recorded list of launches goes in, a folder with object
code, a header, weights, an example and a report comes out."""
