"""How findings are written: lines of text, JSON, SARIF, and differences of fixed files."""
