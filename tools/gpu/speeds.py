"""Times on a device: operators and fused operators against PyTorch's own, and models eager and compiled.
Flows in: names. Flows out: seconds and ratios, plain data; every answer is checked before it is timed."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from anychip.bench import llm, operator_speed
from anychip.bench.measure import TimingBudget
from anychip.bench.row import EAGER, OURS, run
from anychip.pytorch import using

from .placing import Place

SECONDS = 0.3
"""For each row, all candidates together."""


def budget(place: Place) -> TimingBudget:
    """How long a row is timed, with a clock that waits for the device."""
    return TimingBudget(
        rounds=9, least_rounds=3, sample_seconds=0.002, seconds=SECONDS, warm_up=2, clock=place.clock
    )


def sampled() -> list[str]:
    """Overloads with their larger size, "add.Tensor large": the first of every domain, then the second of
    each, so that a run that is cut short has seen all domains."""
    domains: dict[str, list[str]] = {}
    for sized in operator_speed.sized_overloads(sizes=("large",)):
        domains.setdefault(sized.operator.domain, []).append(" ".join(sized.key))
    longest = max(map(len, domains.values()))
    return [names[k] for k in range(longest) for names in domains.values() if k < len(names)]


def operator(name: str, place: Place) -> dict[str, Any]:
    """An overload at a size against PyTorch's kernel for the device."""
    overload, size = name.split()
    (sized,) = (
        one
        for one in operator_speed.sized_overloads([overload], sizes=(size,))
        if one.overload.name == overload
    )
    speed = operator_speed.measure(sized, budget(place), place.placed, place.all_home)
    verdict = "refused" if speed.refused else "wrong" if speed.wrong else "timed"
    return {"verdict": verdict, **speed.to_json()}


def fused_operator(name: str, place: Place) -> dict[str, Any]:
    """A row of `anychip bench llm`."""
    (case,) = llm.cases([name], place.placed, place.all_home)
    row = run(case, (), None, budget(place))
    ratio = row.ratios[EAGER]
    return {
        "verdict": "wrong" if row.wrong else "timed",
        "ours": row.seconds[OURS].median,
        "native": row.seconds[EAGER].median,
        "ratio": ratio.median,
        "low": ratio.low,
        "high": ratio.high,
        **({"wrong": row.wrong} if row.wrong else {}),
    }


# ---- models ---------------------------------------------------------------------------------------

Call = Callable[[], torch.Tensor]


def minilm(place: Place) -> tuple[Callable[..., torch.Tensor], tuple[Any, ...]]:
    """The sentence-embedding model of the demonstration, with 32 sentences."""
    from anychip.bench.models import minilm_and_batch

    embedder, batch = minilm_and_batch(32)
    model = embedder.model.to(place.device)
    given = tuple(map(place.placed, (batch.input_ids, batch.token_type_ids, batch.attention_mask)))

    def call(ids: torch.Tensor, types: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        found = model(input_ids=ids, token_type_ids=types, attention_mask=mask)
        return found.last_hidden_state * mask[:, :, None]

    return call, given


def llama(place: Place) -> tuple[Callable[..., torch.Tensor], tuple[Any, ...]]:
    """A Llama of four layers of 512 with random weights, and 2 x 256 tokens."""
    import transformers as hf

    torch.manual_seed(0)
    configuration = hf.LlamaConfig(
        hidden_size=512,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=4,
        intermediate_size=1408,
        vocab_size=4096,
        use_cache=False,
        bos_token_id=1,
        eos_token_id=2,
    )
    model: Any = hf.LlamaModel(configuration).eval()
    model.to(place.device)
    ids = place.placed(torch.randint(0, 4096, (2, 256)))
    return lambda ids: model(input_ids=ids).last_hidden_state, (ids,)


MODELS = {"minilm": minilm, "llama": llama}


def model(name: str, place: Place) -> dict[str, Any]:
    """A model in float32 by PyTorch, under the strict policy, and compiled by both; one that fails says
    why."""
    call, given = MODELS[name](place)
    rows: dict[str, Any] = {}
    timed: dict[str, Call] = {}
    with torch.inference_mode():
        expected = call(*given)
        scale = float(expected.abs().max())
        for way, (policy, compiled_by) in WAYS.items():
            ready = _ready(call, given, compiled_by)
            try:
                with _under(policy):
                    result = ready()
                difference = float((result - expected).abs().max()) / scale
            except Exception as error:
                text = (str(error).strip() or "?").splitlines()[0][:200]
                rows[way] = {"failed": f"{type(error).__name__}: {text}"}
                continue
            rows[way] = {"difference": float(f"{difference:.2g}")}
            if difference < LARGEST_DIFFERENCE:
                timed[way] = ready
        for way, seconds in _in_turns(timed, place).items():
            rows[way]["seconds"] = float(f"{seconds:.4g}")
    right = all("seconds" in rows[way] for way in WAYS if way != "compiled by PyTorch")
    return {"verdict": "timed" if right else "wrong", "ways": rows}


def _in_turns(timed: dict[str, Call], place: Place) -> dict[str, float]:
    """Median seconds of a call by way; policies change outside of what is timed."""
    samples: dict[str, list[float]] = {way: [] for way in timed}
    for _ in range(ROUNDS):
        for way, ready in timed.items():
            with _under(WAYS[way][0]):
                ready()
                start = place.clock()
                for _ in range(CALLS):
                    ready()
                samples[way].append((place.clock() - start) / CALLS)
    return {way: statistics.median(seconds) for way, seconds in samples.items()}


ROUNDS, CALLS = 7, 5
"""How often each way to run a model has its turn, and calls of a turn."""

LARGEST_DIFFERENCE = 2e-2
"""Of the largest element, by which a model's result in float32 may differ (products in TF32 are allowed)."""


def _under(policy: str) -> AbstractContextManager[None]:
    return using(policy) if policy else nullcontext()


def _ready(call: Callable[..., torch.Tensor], given: tuple[Any, ...], compiled_by: str) -> Call:
    """The model's call on its inputs, compiled by a back end of `torch.compile` if one is named."""
    chosen: Any = torch.compile(call, backend=compiled_by) if compiled_by else call
    return lambda: chosen(*given)


WAYS: dict[str, tuple[str, str]] = {
    "pytorch": ("", ""),
    "strict": ("strict", ""),
    "compiled": ("", "anychip"),
    "compiled by PyTorch": ("", "inductor"),
}
"""Ways to run a model: the policy, and the back end that compiles it."""
