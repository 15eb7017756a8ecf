"""A GGUF file: what its metadata say and where its tensors lie. Flows in: a path. Flows out: values by key,
and bytes of tensors, mapped into memory and read when they are used."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from . import gguf_header
from .errors import ModelError

ADVICE = "Download the file again, and compare its size or checksum with the publisher's."


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor as it is stored: `shape` rows first, `data` its bytes [rows, bytes of a row] uint8 (vectors
    have one row), `format` the name of its type in GGUF."""

    name: str
    format: str
    shape: tuple[int, ...]
    data: torch.Tensor

    def numbers(self) -> torch.Tensor:
        """A tensor of floats as such. Raises ModelError for other types."""
        dtype = FLOATS.get(self.format)
        if dtype is None:
            raise ModelError(f"{self.name} is of type {self.format}; floating numbers were expected.")
        return self.data.view(dtype).view(self.shape)


FLOATS = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


class GgufFile:
    """`metadata`: values by key, arrays as lists; `tensors`: StoredTensor by name. Raises ModelError for what
    is no GGUF file, and for one that ends before its tensors do."""

    def __init__(self, path: Path):
        from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

        self.path = path
        try:
            # Nothing is written, but PyTorch warns of memory that is read-only.
            file = np.memmap(path, np.uint8, mode="c")
            header = gguf_header.read(file)
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error}") from error
        except ValueError as error:
            raise ModelError(f"{path} is no GGUF file, or a damaged one: {error}.", ADVICE) from error
        self.metadata: dict[str, Any] = header.metadata
        self.tensors: dict[str, StoredTensor] = {}
        for info in header.tensors:
            try:
                kind = GGMLQuantizationType(info.type)
            except ValueError:
                raise ModelError(
                    f"{path}: tensor {info.name} is of type {info.type}, which is not known."
                ) from None
            block, size = GGML_QUANT_SIZES[kind]
            count = math.prod(info.shape) // block * size
            first = header.data + info.offset
            if first + count > file.size:
                raise ModelError(
                    f"{path}: tensor {info.name} lies at bytes {first} to {first + count}, and the file "
                    f"ends at {file.size}.",
                    ADVICE,
                )
            rows = _rows(info.shape)
            if count == 0 or info.shape[-1] % block:
                raise ModelError(f"{path}: tensor {info.name} has the shape {info.shape}.", ADVICE)
            data = torch.from_numpy(file[first : first + count]).view(rows, -1)
            self.tensors[info.name] = StoredTensor(info.name, kind.name, info.shape, data)

    def value(self, key: str, default: Any = None) -> Any:
        """A value of the metadata. Raises ModelError where it is missing and there is no default."""
        if key in self.metadata:
            return self.metadata[key]
        if default is None:
            raise ModelError(f"{self.path} does not say {key}, which is needed.", ADVICE)
        return default

    def tensor(self, name: str) -> StoredTensor:
        """A tensor by name. Raises ModelError."""
        if name not in self.tensors:
            raise ModelError(f"{self.path} has no tensor {name}, which the model needs.", ADVICE)
        return self.tensors[name]


def _rows(shape: tuple[int, ...]) -> int:
    return shape[0] if len(shape) > 1 else 1
