"""The link under faults: many robots, a server and networks that delay, lose, reorder, cut and lie silent,
with a judge that counts what was executed by times of its own."""
