"""Low-rank adapters beside the weights of a model."""
