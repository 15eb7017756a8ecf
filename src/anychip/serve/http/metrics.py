"""Numbers for Prometheus under the names that vLLM gives them. Flows in: ends of requests, and the engine's
load when somebody asks. Flows out: the text of /metrics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily

from ..engine import Engine
from ..requests import FinishEvent, FinishReason

LABELS = ("model_name", "engine")
FAST = (
    0.001,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.25,
    0.5,
    0.75,
    1.0,
    2.5,
    5.0,
    7.5,
    10.0,
    20.0,
    40.0,
)
SLOW = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0)
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000)
HISTOGRAMS: dict[str, tuple[str, tuple[float, ...]]] = {
    "time_to_first_token_seconds": ("From the request to its first token.", FAST),
    "request_time_per_output_token_seconds": ("Between tokens of one answer, its mean.", FAST),
    "e2e_request_latency_seconds": ("From the request to its last token.", SLOW),
    "request_queue_time_seconds": ("Before the engine began.", SLOW),
    "request_prefill_time_seconds": ("From the beginning to the first token.", SLOW),
    "request_decode_time_seconds": ("From the first token to the last.", SLOW),
    "request_inference_time_seconds": ("From the beginning to the last token.", SLOW),
    "request_prompt_tokens": ("Tokens of prompts.", SIZES),
    "request_generation_tokens": ("Tokens of answers.", SIZES),
}
COUNTERS = {
    "prompt_tokens": "Tokens of prompts.",
    "generation_tokens": "Tokens of answers.",
    "prefix_cache_queries": "Tokens of prompts that were looked for in the prefix cache.",
    "prefix_cache_hits": "Those that were found.",
}
REASONS = {
    FinishReason.STOP: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.CANCELLED: "abort",
    FinishReason.ERROR: "error",
}
"""What vLLM calls the ends of requests."""


class Metrics:
    """Counts of one server."""

    def __init__(self, engine: Engine, model: str):
        self._engine, self._labels = engine, (model, "0")
        self._registry = CollectorRegistry()
        self._registry.register(self)  # type: ignore[arg-type]
        self._histograms = {
            name: Histogram(f"vllm:{name}", text, LABELS, buckets=buckets, registry=self._registry)
            for name, (text, buckets) in HISTOGRAMS.items()
        }
        self._counters = {
            name: Counter(f"vllm:{name}", text, LABELS, registry=self._registry)
            for name, text in COUNTERS.items()
        }
        self._ends = Counter(
            "vllm:request_success", "Ends of requests.", (*LABELS, "finished_reason"), registry=self._registry
        )

    def finished(self, event: FinishEvent) -> None:
        """Count the end of a request."""
        usage, timing = event.usage, event.timing
        self._ends.labels(*self._labels, REASONS[event.reason]).inc()
        counts = {
            "prompt_tokens": usage.prompt_tokens,
            "generation_tokens": usage.completion_tokens,
            "prefix_cache_queries": usage.prompt_tokens,
            "prefix_cache_hits": usage.cached_tokens,
        }
        for name, number in counts.items():
            self._counters[name].labels(*self._labels).inc(number)
        if not timing.first_token:
            return
        decoding = timing.last_token - timing.first_token
        found: dict[str, float] = {
            "time_to_first_token_seconds": timing.first_token - timing.submitted,
            "e2e_request_latency_seconds": timing.last_token - timing.submitted,
            "request_queue_time_seconds": timing.started - timing.submitted,
            "request_prefill_time_seconds": timing.first_token - timing.started,
            "request_decode_time_seconds": decoding,
            "request_inference_time_seconds": timing.last_token - timing.started,
            "request_prompt_tokens": usage.prompt_tokens,
            "request_generation_tokens": usage.completion_tokens,
        }
        if usage.completion_tokens > 1:
            found["request_time_per_output_token_seconds"] = decoding / (usage.completion_tokens - 1)
        for name, value in found.items():
            self._histograms[name].labels(*self._labels).observe(value)

    def collect(self) -> Iterator[Any]:
        """How busy the engine is; called by the registry."""
        load = self._engine.load()
        gauges = {
            "num_requests_running": ("Requests that have pages.", load.running),
            "num_requests_waiting": ("Requests that wait for pages.", load.waiting),
            "kv_cache_usage_perc": (
                "Share of the cache in use, 1 for all.",
                1 - load.free_pages / load.pages,
            ),
        }
        for name, (text, value) in gauges.items():
            made = GaugeMetricFamily(f"vllm:{name}", text, labels=LABELS)
            made.add_metric(self._labels, value)
            yield made

    def text(self) -> bytes:
        """In Prometheus's text format."""
        return generate_latest(self._registry)
