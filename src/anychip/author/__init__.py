"""Tools for people and programs that write kernels. So far the judge: it says whether a kernel does a task,
and how quickly, in a way that the kernel's own code has no hand in. Flows in: a kernel's file, a task. Flows
out: a verdict with its reasons, as a signed record."""
