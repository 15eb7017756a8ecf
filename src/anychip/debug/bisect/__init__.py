"""Where do two runs part? Each run writes a trace of what every operator gave (`tracing`, `fingerprint`); two
traces are laid beside each other (`comparing`), and what differs is judged on a second run (`judging`)."""
