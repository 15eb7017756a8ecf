"""Other projects' own tests, run unmodified on our back end, and models timed: `docs/ecosystem.md`."""
