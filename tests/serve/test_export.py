"""A small random language model as a C library: it gives the tokens that the engine gives, here and on other
chips, and refuses what would leave its memory."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.serve.tiny_models import VOCABULARY, as_float64, model_of, write_gguf

from anychip.edge.check import check
from anychip.edge.context import Status
from anychip.edge.export import Library, build
from anychip.edge.exported import ExportedFunction
from anychip.emulation.cores import core_for
from anychip.emulation.execution import program_of
from anychip.serve.errors import ModelError
from anychip.serve.export import Decoding, exported_model

pytest.importorskip("gguf")
pytest.importorskip("transformers")

CONTEXT, ANSWER = 40, 6


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    write_gguf(model_of("llama"), path, "Q4_0")
    return path


@pytest.fixture(scope="module")
def exported(file: Path) -> ExportedFunction:
    return exported_model(file, Decoding(CONTEXT, prompt="hello hell", answer=ANSWER))


def test_the_engine_gives_the_same_tokens(file: Path, exported: ExportedFunction) -> None:
    from anychip.serve.engine import events
    from anychip.serve.loading import Room, load
    from anychip.serve.requests import Request, Sampling, TokenEvent

    generation = exported.generation
    assert generation is not None
    served = load(file, Room(CONTEXT, deterministic=True))
    asked = Request(generation.prompt, ANSWER, Sampling(0.0), ignore_eos=True)
    tokens = [event.token for event in events(served.engine, asked) if isinstance(event, TokenEvent)]
    served.engine.close()
    assert tuple(tokens) == generation.answer


@pytest.mark.slow
@pytest.mark.parametrize("target", ["aarch64", "rv64gc", "wasm32", "cortex-a15", "z14"])
def test_other_chips_give_the_same_tokens(exported: ExportedFunction, target: str, tmp_path: Path) -> None:
    from anychip.compiler import targets
    from anychip.edge import folder

    if shutil.which("zig") is None and program_of(core_for(targets.get(target))) is None:
        pytest.skip("no emulator")
    folder.write(tmp_path / "out", build(exported, target, embed_weights=target != "wasm32").files)
    assert check(tmp_path / "out").differences["next_token"] == 0.0


# ---- the library in this process -------------------------------------------------------------------


class Loaded:
    """A library for this machine, with memory of its own around each of its arguments."""

    def __init__(self, library: Library, folder: Path):
        made = folder / "library.so"
        (folder / "library.o").write_bytes(library.files[f"{library.name}.o"])
        subprocess.run(["cc", "-shared", "-o", made, folder / "library.o", "-lm"], check=True)
        self.library: Any = ctypes.CDLL(str(made))
        self.name = library.name
        self.arena = aligned(library.report["arena_bytes"])
        self.context = aligned(128)
        self.cache = aligned(library.report["state"]["bytes"])
        self.logits = aligned(4 * VOCABULARY)
        self.next_token = aligned(8)
        assert not self.call("init", self.arena.ctypes.data, ctypes.c_size_t(self.arena.nbytes))

    def call(self, function: str, *arguments: Any) -> int:
        given = [ctypes.c_void_p(x) if isinstance(x, int) else x for x in arguments]
        return getattr(self.library, f"{self.name}_{function}")(
            ctypes.c_void_p(self.context.ctypes.data), *given
        )

    def step(self, token: int, position: int, shift: int = 0) -> int:
        numbers = [aligned(8) for _ in range(2)]
        for number, value in zip(numbers, (token, position), strict=True):
            number.view(np.int64)[0] = value
        places = [x.ctypes.data for x in (*numbers, self.logits, self.next_token)]
        return self.call("run", *places, self.cache.ctypes.data + shift)


def aligned(size: int) -> np.ndarray:
    """Zeros from a multiple of 64 bytes on."""
    memory = np.zeros(size + 64, dtype=np.uint8)
    first = -memory.ctypes.data % 64
    return memory[first : first + size]


@pytest.fixture(scope="module")
def loaded(exported: ExportedFunction, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    library = build(exported, "host", embed_weights=True)
    assert not any(library.report["undefined_symbols"].values())
    return Loaded(library, tmp_path_factory.mktemp("library"))


def test_its_logits_are_those_of_the_stored_weights(
    exported: ExportedFunction, loaded: Loaded, file: Path
) -> None:
    from anychip.serve.gguf_file import GgufFile
    from anychip.serve.model import from_gguf

    generation = exported.generation
    assert generation is not None
    tokens = [*generation.prompt, *generation.answer]
    for position, token in enumerate(tokens):
        assert loaded.step(token, position) == Status.OK
        if len(generation.prompt) - 1 <= position < len(tokens) - 1:
            assert loaded.next_token.view(np.int64)[0] == tokens[position + 1]
    wanted = as_float64(stored(file), tokens)[-1]
    got = loaded.logits.view(np.float32)
    assert np.abs(got - wanted).max() < 0.05 * np.abs(wanted).max()
    assert from_gguf(GgufFile(file)).vocabulary == VOCABULARY


def stored(file: Path) -> Any:
    """The library's own model with the numbers that the file stores, as the `gguf` package unpacks them."""
    import gguf  # pyright: ignore[reportMissingImports] (an extra)

    model = model_of("llama")
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, model.config.num_hidden_layers)
    kept = {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            tensor = kept[names.get_name(key, try_suffixes=(".weight",))]
            numbers = torch.from_numpy(gguf.quants.dequantize(tensor.data, tensor.tensor_type).copy())
            if "q_proj" in key or "k_proj" in key:
                heads = numbers.shape[0] // model.config.head_dim
                numbers = numbers.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2)
            parameter.copy_(numbers.view(parameter.shape))
    return model


@pytest.mark.parametrize(
    ("token", "position"), [(VOCABULARY, 0), (-1, 0), (1, CONTEXT), (1, -1), (1 << 40, 1 << 40)]
)
def test_what_lies_outside_is_refused(loaded: Loaded, token: int, position: int) -> None:
    before = loaded.cache.copy()
    assert loaded.step(token, position) == Status.OUT_OF_RANGE
    assert (loaded.cache == before).all()


def test_a_cache_that_begins_elsewhere_is_refused(loaded: Loaded) -> None:
    assert loaded.step(1, 1, shift=16) == Status.MISALIGNED


@pytest.mark.parametrize(
    ("decoding", "said"),
    [
        (Decoding(4096), "1 to 128"),
        (Decoding(8, prompt="hello hello hello"), "do not fit"),
        (Decoding(cache="f64"), "f64"),
        (Decoding(answer=0), "at least one token"),
    ],
)
def test_what_cannot_be_exported_is_said(file: Path, decoding: Decoding, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        exported_model(file, decoding)
