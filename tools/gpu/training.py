"""Training on a device: losses of steps under the strict policy beside PyTorch's own from the same weights,
the speed of a step, and one job whose ranks are the CPU and the device. Flows in: names of models. Flows out:
losses and seconds, plain data."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from anychip.pytorch import using

from .placing import Place, on

STEPS, WARM = 30, 5
"""Steps of a curve, and those of them that are not timed."""

BATCH, TOKENS, WORDS = 8, 64, 512
LEARNING_RATE = 1e-3

LARGEST_DIFFERENCE = 2e-2
"""Of a loss, relative, by which curves in float32 may differ after some steps: products may be in TF32."""

Inputs = tuple[torch.Tensor, ...]
Loss = Callable[..., torch.Tensor]


def llama() -> tuple[torch.nn.Module, Loss]:
    """A small Llama that learns to write."""
    import transformers as hf

    model = hf.LlamaForCausalLM(
        hf.LlamaConfig(
            hidden_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            intermediate_size=352,
            vocab_size=WORDS,
            use_cache=False,
            bos_token_id=1,
            eos_token_id=2,
        )
    )
    return model, lambda model, ids: model(input_ids=ids, labels=ids).loss


def bert() -> tuple[torch.nn.Module, Loss]:
    """A small BERT that learns to fill in words."""
    import transformers as hf

    model = hf.BertForMaskedLM(
        hf.BertConfig(
            hidden_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=256,
            vocab_size=WORDS,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    )
    return model, lambda model, ids: model(input_ids=ids, labels=ids).loss


def convolutions() -> tuple[torch.nn.Module, Loss]:
    """Convolutions with batch normalization that learn what the first word of a sample is, from its
    picture."""
    layers: list[torch.nn.Module] = []
    for inner, outer in ((1, 32), (32, 64)):
        layers += [
            torch.nn.Conv2d(inner, outer, 3, padding=1, bias=False),
            torch.nn.BatchNorm2d(outer),
            torch.nn.ReLU(),
            torch.nn.MaxPool2d(2),
        ]
    model = torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(256, WORDS))

    def loss(model: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
        picture = ids.view(-1, 1, 8, TOKENS // 8).to(torch.float32) / WORDS
        return torch.nn.functional.cross_entropy(model(picture), ids[:, 0])

    return model, loss


MODELS: dict[str, Callable[[], tuple[torch.nn.Module, Loss]]] = {
    "llama": llama,
    "bert": bert,
    "convolutions": convolutions,
}


def batches() -> list[torch.Tensor]:
    """The words of every step, [batch, tokens], int64: few, so that a model learns them."""
    generator = torch.Generator().manual_seed(7)
    rows = torch.randint(0, WORDS, (2 * BATCH, TOKENS), generator=generator)
    return [rows[torch.randperm(2 * BATCH, generator=generator)[:BATCH]] for _ in range(STEPS)]


def made(name: str, place: Place) -> tuple[torch.nn.Module, Loss, torch.optim.Optimizer]:
    """A model with its first weights, its loss and its optimizer."""
    torch.manual_seed(0)
    model, loss = MODELS[name]()
    model = model.to(place.device).train()
    return model, loss, torch.optim.AdamW(model.parameters(), LEARNING_RATE)


def curve(name: str, place: Place, policy: str) -> tuple[list[float], float]:
    """The losses of all steps, and the median seconds of one."""
    model, loss, optimizer = made(name, place)
    losses, seconds = [], []
    drawn = batches()  # by PyTorch's random numbers: the library has others
    with using(policy) if policy else nullcontext():
        for batch in drawn:
            ids = place.placed(batch)
            start = place.clock()
            optimizer.zero_grad()
            found = loss(model, ids)
            found.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            seconds.append(place.clock() - start)
            losses.append(float(found.detach()))
    return losses, statistics.median(seconds[WARM:])


def step(name: str, place: Place) -> dict[str, Any]:
    """A model's curve under the strict policy beside PyTorch's."""
    theirs, native = curve(name, place, "")
    ours, seconds = curve(name, place, "strict")
    return _judged(ours, theirs) | {"seconds": seconds, "native_seconds": native, "ratio": native / seconds}


def _judged(ours: list[float], theirs: list[float]) -> dict[str, Any]:
    apart = max(abs(x - y) / abs(y) for x, y in zip(ours, theirs, strict=True))
    learnt = min(ours[-3:]) < ours[0]
    verdict = "passed" if apart < LARGEST_DIFFERENCE and learnt else "failed"
    return {
        "verdict": verdict,
        "apart": float(f"{apart:.3g}"),
        "losses": [round(x, 5) for x in ours],
        "native_losses": [round(x, 5) for x in theirs],
    }


# ---- a job of two kinds of ranks ------------------------------------------------------------------


def mixed(name: str, place: Place) -> dict[str, Any]:
    """Two ranks, the CPU and the device, each with half of every batch and gradients averaged over gloo
    through the host's memory, beside PyTorch alone with whole batches on the CPU."""
    theirs, _ = curve(name, on("cpu"), "")
    with tempfile.TemporaryDirectory() as folder:
        ranks = []
        try:
            for rank, device in enumerate(("cpu", place.device)):
                command = [sys.executable, "-m", "tools.gpu.training", name, device, str(rank), folder]
                ranks.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            told = [rank.communicate()[0] for rank in ranks]
        finally:
            for rank in ranks:
                rank.kill()
                rank.wait()
        if any(rank.returncode for rank in ranks):
            return {"verdict": "failed", "why": f"ranks ended with {[rank.returncode for rank in ranks]}"}
    ours = [json.loads(text.splitlines()[-1]) for text in told]
    means = [sum(pair) / 2 for pair in zip(*ours, strict=True)]
    return _judged(means, theirs)


def _rank(name: str, device: str, rank: int, folder: str) -> None:
    """One rank of `mixed`; prints its losses. The ranks meet by a file of `folder`."""
    place = on(device)
    meeting = f"file://{Path(folder).absolute()}/meeting"
    torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    model, loss, optimizer = made(name, place)
    half = BATCH // 2
    losses = []
    drawn = batches()
    with using("strict"):
        for batch in drawn:
            optimizer.zero_grad()
            found = loss(model, place.placed(batch[rank * half : (rank + 1) * half]))
            found.backward()
            _average([x.grad for x in model.parameters() if x.grad is not None], place)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(float(found.detach()))
    torch.distributed.destroy_process_group()
    print(json.dumps(losses))


def _average(gradients: list[torch.Tensor], place: Place) -> None:
    """Replace gradients by their means over the ranks, in one message through the host's memory."""
    flat = torch.cat([place.home(x).flatten() for x in gradients])
    torch.distributed.all_reduce(flat)
    flat /= torch.distributed.get_world_size()
    for x, mean in zip(gradients, flat.split([x.numel() for x in gradients]), strict=True):
        x.copy_(mean.view(x.shape))


if __name__ == "__main__":
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    _rank(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
