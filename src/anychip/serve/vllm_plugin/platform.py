"""vLLM's platform for processors with Anychip under it. vLLM finds Triton's back end for the CPU by itself,
and then runs its own Triton kernels instead of stand-ins; what its platform does not admit, its attention in
Triton, this one does."""

from __future__ import annotations

from typing import Any

from vllm.platforms.cpu import CpuPlatform
from vllm.v1.attention.backends.registry import AttentionBackendEnum


class AnychipPlatform(CpuPlatform):
    """As vLLM's `CpuPlatform`; `--attention-backend TRITON_ATTN` is served."""

    @classmethod
    def get_attn_backend_cls(
        cls, selected_backend: Any, attn_selector_config: Any, num_heads: int | None = None
    ) -> str:
        """The class that computes attention, by name."""
        plain = not (attn_selector_config.use_sparse or attn_selector_config.use_mla)
        if plain and selected_backend == AttentionBackendEnum.TRITON_ATTN:
            return "anychip.serve.vllm_plugin.attention.AnychipTritonBackend"
        return super().get_attn_backend_cls(selected_backend, attn_selector_config, num_heads)
