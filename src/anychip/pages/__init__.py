"""Generated pages of the repository: a table of page, record and writer, and which are out of date."""
