"""Reading files: their text with its exact line ends, what names mean in Python, and what rules recognise."""
