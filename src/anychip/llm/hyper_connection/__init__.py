"""Several residual streams, mixed before and after a layer."""
