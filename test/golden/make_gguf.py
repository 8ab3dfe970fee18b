"""Golden values of GGUF, from the packages gguf, torch and transformers.

    python test/golden/make_gguf.py                     writes gguf-*.gguf and gguf-*.safetensors beside itself
    python test/golden/make_gguf.py check FILE EXPECTED reads a GGUF file that trainformer has written and compares it with
                                                        the safetensors file EXPECTED: of each tensor, the bytes that gguf
                                                        makes of it in the type that the file has

gguf-types.gguf has a tensor of each type that can be decoded and one that cannot, and a key of each type of metadata.
gguf-types.safetensors has, by the same names, what gguf decodes, and `source`, which was quantized.
"""

import sys
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import load_file, save_file

here = Path(__file__).parent
Type = gguf.GGMLQuantizationType


def halves(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> np.ndarray:
    return (rng.standard_normal(shape) * scale).astype(np.float16).view(np.uint8).reshape(*shape, 2)


def random_blocks(rng: np.random.Generator, type: Type, blocks: int) -> np.ndarray:
    """Blocks of random bytes, the scales in halves being ordinary numbers."""
    size = gguf.GGML_QUANT_SIZES[type][1]
    out = rng.integers(0, 256, (blocks, size), dtype=np.uint8)
    scales = halves(rng, (blocks,), 0.05)
    if type == Type.Q6_K:
        out[:, -2:] = scales
    else:
        out[:, :2] = scales
        out[:, 2:4] = halves(rng, (blocks,), 0.05)
    return out


def source(rng: np.random.Generator) -> np.ndarray:
    """Ordinary rows, and blocks that are zero, tiny, large, of one sign, and where a rounding is a tie."""
    x = rng.standard_normal((6, 96)).astype(np.float32)
    x[0, :32] = 0
    x[1, :32] *= 1e-7
    x[2, :32] *= 3e4 / np.abs(x[2, :32]).max()
    x[3] = np.abs(x[3])
    x[4] = -np.abs(x[4])
    x[5, :32] = np.arange(32) - 15.5
    x[5, 31] = 127
    return x


def write_types() -> None:
    rng = np.random.default_rng(2024)
    x = source(rng)
    writer = gguf.GGUFWriter(here / "gguf-types.gguf", "golden")
    for name in ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]:
        info = np.iinfo(name)
        getattr(writer, f"add_{name}")(f"golden.{name}.max", int(info.max))
        getattr(writer, f"add_{name}")(f"golden.{name}.min", int(info.min))
    writer.add_float32("golden.float32", 0.1)
    writer.add_float64("golden.float64", 0.1)
    writer.add_bool("golden.true", True)
    writer.add_bool("golden.false", False)
    writer.add_string("golden.string", "ein Wörtchen \U0001f600")
    writer.add_array("golden.strings", ["", "Ġthe", "▁a", "\n"])
    writer.add_array("golden.integers", [1, -2, 3])
    writer.add_array("golden.floats", [0.5, -1.25])
    writer.add_array("golden.bools", [True, False, True])
    expected = {"source": x}

    def add(name: str, data: np.ndarray, type: Type, shape: tuple[int, ...]) -> None:
        writer.add_tensor(name, data, raw_dtype=type)
        expected[name] = gguf.dequantize(data, type).astype(np.float32).reshape(shape)

    for type in [Type.F32, Type.F16, Type.BF16, Type.Q4_0, Type.Q4_1, Type.Q8_0]:
        add(type.name, gguf.quantize(x, type), type, x.shape)
    for type in [Type.Q4_K, Type.Q6_K]:
        size = gguf.GGML_QUANT_SIZES[type][1]
        add(type.name, random_blocks(rng, type, 12).reshape(4, 3 * size), type, (4, 768))
    writer.add_tensor("Q5_0", gguf.quantize(x, Type.Q5_0), raw_dtype=Type.Q5_0)
    writer.add_tensor("vector", np.arange(5, dtype=np.float32))
    writer.add_tensor("integers", np.array([[1, -2, 3]], dtype=np.int32))
    expected["vector"] = np.arange(5, dtype=np.float32)
    expected["integers"] = np.array([[1, -2, 3]], dtype=np.int32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(expected, here / "gguf-types.safetensors")


def check(file: str, expected_file: str) -> None:
    reader = gguf.GGUFReader(file)
    expected = load_file(expected_file)
    assert {t.name for t in reader.tensors} == set(expected), [t.name for t in reader.tensors]
    for tensor in reader.tensors:
        x = expected[tensor.name]
        shape = tuple(int(n) for n in reversed(tensor.shape))
        assert shape == x.shape, (tensor.name, shape, x.shape)
        assert tensor.data_offset % 32 == 0
        theirs = gguf.quantize(np.ascontiguousarray(x, dtype=np.float32), tensor.tensor_type)
        same = tensor.data.tobytes() == theirs.tobytes()
        assert same, f"{tensor.name}: other bytes than gguf's in {tensor.tensor_type.name}"
        print(tensor.name, tensor.tensor_type.name, shape)
    for field in reader.fields.values():
        print(field.name, field.types, str(field.contents())[:60])


if __name__ == "__main__":
    if sys.argv[1:2] == ["check"]:
        check(*sys.argv[2:])
    else:
        write_types()
