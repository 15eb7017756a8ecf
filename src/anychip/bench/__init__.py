"""Measuring: kernels against their peers in one process, with the answer checked at each timing.

Flows in: cases (`kernels/`), peers, roofs of the machine. Flows out: records that `report` turns into
tables, JSON, CSV and Markdown.
"""
