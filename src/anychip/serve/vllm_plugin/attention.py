"""vLLM's attention in Triton on processors: its own kernels, launched without its question which
generation of NVIDIA's GPUs there is."""

from __future__ import annotations

from typing import Any

import torch
from vllm.triton_utils import triton
from vllm.v1.attention.backends.triton_attn import TritonAttentionBackend, TritonAttentionImpl
from vllm.v1.attention.ops.triton_reshape_and_cache_flash import reshape_and_cache_kernel_flash

from ..errors import ModelError

CACHES = ("auto", "float16", "bfloat16", "float32")
"""What keys and values may be kept in, by vLLM's names."""
TILE = 2048
"""Elements of a token's keys that one program writes at most."""


class AnychipTritonImpl(TritonAttentionImpl):
    """As vLLM's; caches of floating numbers of 16 and 32 bits. Raises ModelError for others."""

    def __init__(self, *arguments: Any, **keywords: Any):
        super().__init__(*arguments, **keywords)
        if self.kv_cache_dtype not in CACHES:
            raise ModelError(
                f"attention in Triton does not keep keys and values as {self.kv_cache_dtype} on processors.",
                f"Use one of {', '.join(CACHES)}, or vLLM's own attention (CPU_ATTN).",
            )

    def do_kv_cache_update(
        self,
        layer: Any,
        key: torch.Tensor,
        value: torch.Tensor,
        kv_cache: torch.Tensor,
        slot_mapping: torch.Tensor,
    ) -> None:
        """Writes keys and values [tokens, heads, width] into kv_cache [blocks, heads, block size, 2 width] at
        the tokens' slots [tokens]."""
        keys, values = kv_cache.transpose(1, 2).split(self.head_size, dim=-1)
        heads, width = key.shape[1:]
        tile = min(TILE, triton.next_power_of_2(heads * width))
        reshape_and_cache_kernel_flash[(slot_mapping.shape[0], triton.cdiv(heads * width, tile))](
            key_ptr=key,
            value_ptr=value,
            key_cache_ptr=keys,
            value_cache_ptr=values,
            slot_mapping_ptr=slot_mapping,
            k_scale=layer._k_scale,
            v_scale=layer._v_scale,
            key_stride=key.stride(0),
            value_stride=value.stride(0),
            block_stride=keys.stride(0),
            head_stride=keys.stride(2),
            dim_stride_k=0,
            dim_stride_v=0,
            page_stride=keys.stride(1),
            num_heads=heads,
            head_size=width,
            block_size=keys.shape[1],
            x=1,
            USE_HEAD_MAJOR_LAYOUT=False,
            FP8_KV_CACHE=False,
            TILE_SIZE=tile,
        )


class AnychipTritonBackend(TritonAttentionBackend):
    """As vLLM's, with `AnychipTritonImpl`."""

    @staticmethod
    def get_impl_cls() -> type[AnychipTritonImpl]:
        """What computes."""
        return AnychipTritonImpl
