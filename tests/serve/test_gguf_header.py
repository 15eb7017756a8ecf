"""GGUF files' headers, beside the `gguf` package's reader."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anychip.serve import gguf_header
from anychip.serve.errors import ModelError
from anychip.serve.gguf_file import GgufFile

gguf: Any = pytest.importorskip("gguf")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "some.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_uint8("a.u8", 200)
    writer.add_int16("a.i16", -3)
    writer.add_uint64("a.u64", 1 << 40)
    writer.add_float32("a.f32", 0.1)
    writer.add_float64("a.f64", 0.1)
    writer.add_bool("a.bool", True)
    writer.add_string("a.text", "smørrebrød")
    writer.add_array("a.words", ["", "ab", "ß"])
    writer.add_array("a.numbers", [1, -2, 3])
    writer.add_array("a.truths", [True, False])
    writer.add_array("a.nested", [[1, 2], [3]])
    numbers = np.random.default_rng(0).standard_normal((6, 64)).astype(np.float32)
    writer.add_tensor("plain", numbers)
    writer.add_tensor("vector", numbers[0])
    q8 = gguf.GGMLQuantizationType.Q8_0
    writer.add_tensor("packed", gguf.quants.quantize(numbers, q8), raw_dtype=q8)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_it_reads_what_the_package_reads(file: Path) -> None:
    reader = gguf.GGUFReader(file)
    made = GgufFile(file)
    wanted = {key: field.contents() for key, field in reader.fields.items() if not key.startswith("GGUF.")}
    del wanted["a.nested"]  # The package gives arrays in arrays as one.
    assert {key: made.metadata[key] for key in wanted} == wanted
    assert set(made.metadata) - set(wanted) == {"a.nested"}
    assert made.metadata["a.nested"] == [[1, 2], [3]]
    assert [type(made.metadata[f"a.{key}"]) for key in ("u8", "f32", "bool")] == [int, float, bool]
    for tensor in reader.tensors:
        own = made.tensors[tensor.name]
        assert own.format == tensor.tensor_type.name
        assert own.shape == tuple(reversed(tensor.shape.tolist()))
        assert own.data.numpy().tobytes() == tensor.data.tobytes()


def test_a_header_that_is_cut_anywhere_is_refused(file: Path, tmp_path: Path) -> None:
    whole = np.fromfile(file, np.uint8)
    header = gguf_header.read(whole)
    for length in range(0, header.data - 32, 7):
        with pytest.raises(ValueError, match=r"GGUF|ends before"):
            gguf_header.read(whole[:length])
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(whole[: len(whole) - 33].tobytes())
    with pytest.raises(ModelError, match="the file ends at"):
        GgufFile(cut)


def test_changed_bytes_never_end_in_another_error(file: Path, tmp_path: Path) -> None:
    whole = np.fromfile(file, np.uint8)
    end = gguf_header.read(whole).data
    generator = np.random.default_rng(1)
    changed = tmp_path / "changed.gguf"
    for _ in range(300):
        data = whole.copy()
        data[generator.integers(0, end, 3)] = generator.integers(0, 256, 3)
        changed.write_bytes(data.tobytes())
        try:
            GgufFile(changed)
        except ModelError:
            continue
