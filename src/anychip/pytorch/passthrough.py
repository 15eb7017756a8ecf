"""The ATen overloads that need no kernel of ours, by reason: they compute nothing. Whatever is in no
table here, and has a kernel for the device, is a compute operator: served by ours, or a fall-through.
Overloads that PyTorch defines by others (composite ones) are judged by their pieces."""

from __future__ import annotations

VIEWS = frozenset(
    {
        "_reshape_alias",
        "as_strided",
        "unfold",
        "view",
        "view_as_complex",
        "view_as_real",
    }
)
"""New sizes and strides over the same memory; the rest of the views are composites of these."""

ALLOCATIONS = frozenset(
    {
        "_efficientzerotensor",
        "empty.memory_format",
        "empty_strided",
        "from_file",
        "resize_",
        "set_",
        "set_.source_Storage",
        "set_.source_Storage_storage_offset",
        "set_.source_Tensor",
    }
)
"""Memory is given out or exchanged, not written."""

HOST_READS = frozenset(
    {
        "_assert_async",
        "_assert_async.msg",
        "_functional_assert_async.msg",
        "_local_scalar_dense",
        "is_set_to",
    }
)
"""One element is handed to Python (`item`), or two tensors' places are compared."""

DECISIONS = frozenset(
    {"_fused_sdp_choice", "_make_dep_token", "_use_cudnn_ctc_loss", "_use_cudnn_ctc_loss.Tensor"}
)
"""A choice among operators, from shapes and dtypes alone."""

STREAMS = frozenset({"record_stream"})
"""A device's allocator is told of a stream that uses memory."""

PASSED: frozenset[str] = VIEWS | ALLOCATIONS | HOST_READS | DECISIONS | STREAMS
