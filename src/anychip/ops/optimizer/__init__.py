"""Steps of optimisers that update parameters and their state in one launch a tensor, and loss scaling."""
