"""Streams, events and graphs of CUDA."""

from __future__ import annotations

from ..rule import Rule

STREAM = Rule(
    "AC201",
    "cuda-stream",
    "{found} is about streams of CUDA",
    "Use torch.Stream, torch.accelerator.current_stream() and set_stream(); a CPU has no streams, so "
    "leave them "
    "out there.",
    names=(
        "torch.cuda.Stream",
        "torch.cuda.ExternalStream",
        "torch.cuda.StreamContext",
        "torch.cuda.stream",
        "torch.cuda.streams",
        "torch.cuda.set_stream",
        "torch.cuda.current_stream",
        "torch.cuda.default_stream",
        "torch.cuda.get_stream_from_external",
    ),
    instead={"cpu": "A CPU has no streams: run the block without one."},
)
EVENT = Rule(
    "AC202",
    "cuda-event",
    "{found} is an event of CUDA",
    "Use torch.Event(device, enable_timing=True), and time.perf_counter() on a CPU.",
    names=("torch.cuda.Event", "torch.cuda.streams.Event"),
    instead={"cpu": "Calls return when they are done: take time.perf_counter()."},
)
GRAPH = Rule(
    "AC203",
    "cuda-graph",
    "{found} records a CUDA graph",
    "Call the function directly where graphs are missing, or record it by anychip.capture(), which "
    "replays it "
    "in one call.",
    names=(
        "torch.cuda.CUDAGraph",
        "torch.cuda.graph",
        "torch.cuda.graphs",
        "torch.cuda.graph_pool_handle",
        "torch.cuda.make_graphed_callables",
        "torch.cuda.is_current_stream_capturing",
    ),
)

RULES = (STREAM, EVENT, GRAPH)
