"""Jobs on several ranks for tests and records: `collectives` tries every collective with every type and
writes docs/cluster.md's table, `faults` injects faults and writes a record."""
