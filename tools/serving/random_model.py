"""Writes a Llama-shaped model of random weights as a GGUF file: `python -m tools.serving.random_model FILE
--type Q4_0`. It has 1.1 billion weights unless told otherwise, and stands for real models of that size where
rates are measured: its text means nothing. Blocks are drawn as bytes, with scales that keep activations
small. Flows in: a type of weights. Flows out: a file that llama.cpp and Anychip read."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SCALE = 0.01
"""Of the numbers that are drawn, about."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a model: widths in elements, heads of queries and of keys."""

    layers: int = 22
    hidden: int = 2048
    gate: int = 5632
    heads: int = 32
    shared: int = 4
    vocabulary: int = 32000

    @property
    def width(self) -> int:
        """Of a head."""
        return self.hidden // self.heads

    def matrices(self) -> Iterator[tuple[str, int, int]]:
        """Names of tensors in the file, with rows and columns."""
        keys = self.shared * self.width
        yield "token_embd", self.vocabulary, self.hidden
        yield "output", self.vocabulary, self.hidden
        for k in range(self.layers):
            yield f"blk.{k}.attn_q", self.hidden, self.hidden
            yield f"blk.{k}.attn_k", keys, self.hidden
            yield f"blk.{k}.attn_v", keys, self.hidden
            yield f"blk.{k}.attn_output", self.hidden, self.hidden
            yield f"blk.{k}.ffn_gate", self.gate, self.hidden
            yield f"blk.{k}.ffn_up", self.gate, self.hidden
            yield f"blk.{k}.ffn_down", self.hidden, self.gate

    def norms(self) -> Iterator[str]:
        """Names of vectors as wide as the model."""
        yield "output_norm"
        for k in range(self.layers):
            yield f"blk.{k}.attn_norm"
            yield f"blk.{k}.ffn_norm"


def drawn(kind: str, rows: int, columns: int, generator: np.random.Generator) -> np.ndarray:
    """A matrix of type `kind`: bytes [rows, bytes of a row], or bfloat16 as its bytes."""
    if kind == "BF16":
        numbers = (generator.standard_normal((rows, columns), np.float32) * SCALE).view(np.uint32)
        return (numbers >> 16).astype(np.uint16).view(np.uint8)
    size, largest = {"Q4_0": (18, 8), "Q8_0": (34, 127)}[kind]
    data = generator.integers(0, 256, (rows, columns // 32, size), np.uint8)
    scales = np.full((rows, columns // 32, 1), SCALE * 2 / largest, np.float16)
    data[..., :2] = scales.view(np.uint8)
    return data.reshape(rows, -1)


def write(file: Path, kind: str, shape: Shape | None = None, seed: int = 0) -> None:
    """Write the model; `kind` is Q4_0, Q8_0 or BF16."""
    import gguf  # pyright: ignore[reportMissingImports] (an extra)

    shape = shape or Shape()
    generator = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(2048)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.gate)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.shared)
    writer.add_key_length(shape.width)
    writer.add_value_length(shape.width)
    writer.add_rope_dimension_count(shape.width)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    words = ["<s>", "</s>", *letters(), "he"]
    words += [f"<unused{k}>" for k in range(shape.vocabulary - len(words))]
    writer.add_token_list(words)
    writer.add_token_types([3, 3] + [1] * (shape.vocabulary - 2))
    writer.add_token_merges(["h e"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    for name in shape.norms():
        writer.add_tensor(f"{name}.weight", np.ones(shape.hidden, np.float32))
    for name, rows, columns in shape.matrices():
        data = drawn(kind, rows, columns, generator)
        writer.add_tensor(f"{name}.weight", data, raw_dtype=gguf.GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def letters() -> list[str]:
    """The words of single bytes that tokenizers of GPT-2's kind have."""
    from tokenizers.pre_tokenizers import ByteLevel

    return sorted(ByteLevel.alphabet())


def main() -> None:
    """The command line."""
    options = argparse.ArgumentParser(prog="python -m tools.serving.random_model", description=__doc__)
    options.add_argument("file", type=Path)
    options.add_argument("--type", default="Q4_0", choices=("Q4_0", "Q8_0", "BF16"))
    options.add_argument("--layers", type=int, default=Shape().layers, help="22 make 1.1 billion weights")
    given = options.parse_args()
    write(given.file, given.type, Shape(layers=given.layers))


if __name__ == "__main__":
    main()
