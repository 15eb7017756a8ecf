"""Loading and launching compiled kernels. Flows in: object code, pointers, sizes and strides, never a tensor.
Flows out: kernels that ran over the threads, and counts of their launches."""
