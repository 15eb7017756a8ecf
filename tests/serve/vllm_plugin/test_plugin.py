"""vLLM with our platform, attention and products gives the tokens that the transformers library gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("vllm")

PROMPTS = [[(7 * row + 13 * k) % 500 for k in range(9 + row)] for row in range(4)]
ANSWER = 8
SHAPE: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "vocab_size": 512,
    "max_position_embeddings": 256,
    "initializer_range": 0.1,
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import AutoModelForCausalLM, LlamaConfig

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    AutoModelForCausalLM.from_config(LlamaConfig(**SHAPE)).bfloat16().save_pretrained(folder)
    return folder


def answers(model: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> list[list[int]]:
    """vLLM's greedy tokens, in this process."""
    from vllm import LLM, SamplingParams
    from vllm.distributed import cleanup_dist_env_and_memory

    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    engine = LLM(
        str(model),
        skip_tokenizer_init=True,
        dtype="bfloat16",
        max_model_len=64,
        enforce_eager=True,
        **options,
    )
    asked = SamplingParams(temperature=0, max_tokens=ANSWER, ignore_eos=True, detokenize=False)
    made = engine.generate([{"prompt_token_ids": prompt} for prompt in PROMPTS], asked, use_tqdm=False)
    del engine
    cleanup_dist_env_and_memory()
    return [list(one.outputs[0].token_ids) for one in made]


def require_near(model: Path, found: list[list[int]]) -> None:
    """Each token is one that the library's model in float64 finds likeliest, or nearly as likely."""
    from transformers import AutoModelForCausalLM

    wide = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float64, attn_implementation="eager")
    for prompt, answer in zip(PROMPTS, found, strict=True):
        with torch.no_grad():
            logits = wide(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
        lost = logits.max(-1).values - logits[torch.arange(ANSWER), torch.tensor(answer)]
        assert lost.max() < 0.05 * logits.abs().max(), (prompt, answer, lost)


@pytest.mark.parametrize("attention", [None, "TRITON_ATTN"])
def test_tokens_are_those_of_the_model(
    model: Path, monkeypatch: pytest.MonkeyPatch, attention: str | None
) -> None:
    from vllm.platforms import current_platform

    from anychip.runtime import launches

    seen: set[str] = set()
    with launches.listen(lambda launch: seen.add(launch.kernel)):
        found = answers(model, monkeypatch, **({"attention_backend": attention} if attention else {}))
    require_near(model, found)
    assert type(current_platform).__name__ == "AnychipPlatform"
    assert ("kernel_unified_attention" in " ".join(seen)) == (attention is not None), seen


def test_products_keep_the_type_and_the_shape() -> None:
    from anychip.llm.packed.dense import dense
    from anychip.serve.vllm_plugin.products import product

    generator = torch.Generator().manual_seed(0)
    weight = torch.randn((50, 96), generator=generator).bfloat16()
    x = torch.randn((2, 3, 96), generator=generator).bfloat16()
    bias = torch.randn(50, generator=generator).bfloat16()
    wanted = torch.nn.functional.linear(x.double(), weight.double(), bias.double())
    made = product(x, dense(weight).numbers, 50, bias)
    assert made.dtype == x.dtype
    assert (made.double() - wanted).abs().max() <= 2**-8 * wanted.abs().max()
    torch.library.opcheck(product, (x, dense(weight).numbers, 50, bias), test_utils="test_faketensor")
