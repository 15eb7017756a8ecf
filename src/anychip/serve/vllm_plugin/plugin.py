"""What vLLM finds by its entry points. Flows in: vLLM's questions at its start. Flows out: the name of our
platform, where vLLM was built for processors, and products that replace its own where ours are faster."""

from __future__ import annotations

PLATFORM = "anychip.serve.vllm_plugin.platform.AnychipPlatform"


def platform() -> str | None:
    """The platform's class by name (`vllm.platform_plugins`); None where vLLM was built for a GPU, so that it
    stays as it is there."""
    from vllm.platforms import vllm_version_matches_substr

    return PLATFORM if vllm_version_matches_substr("cpu") else None


def register() -> None:
    """Take over products (`vllm.general_plugins`), in each of vLLM's processes whose platform is ours."""
    from vllm.platforms import current_platform

    if type(current_platform).__name__ == PLATFORM.rpartition(".")[2]:
        from . import products

        products.take_over()
