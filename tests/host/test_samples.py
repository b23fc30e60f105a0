"""What a user may feed: every shape, type and value that is taken, and the sentence for each that is not."""

from contextlib import suppress

import numpy as np
import pytest
from celosia import ModelError
from celosia.host.ir import Tensor
from celosia.host.samples import prepare, read

IMAGE = Tensor(name="image", shape=(1, 8, 6, 3), scale=0.5, zero_point=-3)


def image(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.int8)


def test_int8_is_taken_as_it_is():
    x = np.random.default_rng(1).integers(-128, 128, (5, 8, 6, 3), np.int8)
    y = prepare(x[::-1, :, ::-1], IMAGE)
    np.testing.assert_array_equal(y, x[::-1, :, ::-1])
    assert y.dtype == np.int8
    assert y.flags.c_contiguous


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_real_values_are_quantized_halves_away_from_zero(dtype):
    vector = Tensor(name="x", shape=(1, 8), scale=0.5, zero_point=-3)
    real = np.array([[0.0, 0.25, -0.25, 0.24, 0.75, -0.75, 1e4, -1e4]], dtype)
    np.testing.assert_array_equal(prepare(real, vector), [[-3, -2, -4, -3, -1, -5, 127, -128]])


def test_real_values_beyond_float32_saturate():
    vector = Tensor(name="x", shape=(1, 2), scale=0.5)
    np.testing.assert_array_equal(prepare(np.array([[1e300, -1e300]]), vector), [[127, -128]])


def test_quantization_is_that_of_the_reference_kernels():
    interpreter = pytest.importorskip("ai_edge_litert.interpreter", reason="ai-edge-litert is not installed")
    from celosia.host.frontends.tflite_writer import ModelWriter

    scale, zero_point, count = float(np.float32(0.007843138)), -1, 4096
    writer = ModelWriter()
    source = writer.tensor("x", (1, count), "float32")
    target = writer.tensor("y", (1, count), scale=scale, zero_point=zero_point)
    writer.op("QUANTIZE", [source], [target])
    model = interpreter.Interpreter(
        model_content=writer.finish([source], [target]),
        experimental_op_resolver_type=interpreter.OpResolverType.BUILTIN_REF,
    )
    model.allocate_tensors()
    ties = ((np.arange(count) % 300 - 150 + 0.5) * scale).astype(np.float32)
    real = np.nextafter(ties, np.repeat(np.float32([0, 9, -9, 0.1]), count // 4))[np.newaxis]
    real[0, ::4] = ties[::4]
    model.set_tensor(model.get_input_details()[0]["index"], real)
    model.invoke()
    tensor = Tensor(name="x", shape=(1, count), scale=scale, zero_point=zero_point)
    np.testing.assert_array_equal(prepare(real, tensor), model.get_tensor(model.get_output_details()[0]["index"]))


def test_uint8_model_takes_uint8_and_quantizes_real_values():
    tensor = Tensor(name="x", shape=(1, 3), dtype="uint8", scale=0.5, zero_point=128)
    np.testing.assert_array_equal(prepare(np.uint8([[0, 128, 255]]), tensor), [[0, 128, 255]])
    quantized = prepare(np.float32([[-1e4, 0.25, 1e4]]), tensor)
    np.testing.assert_array_equal(quantized, [[0, 129, 255]])
    assert quantized.dtype == np.uint8


def test_float_model_takes_real_values_as_they_are():
    tensor = Tensor(name="x", shape=(1, 2), dtype="float32")
    y = prepare(np.array([[0.1, 2.5]]), tensor)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, np.float32([[0.1, 2.5]]))


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (image(8, 6, 3), r"shape \(8, 6, 3\).*needs \(N, 8, 6, 3\).*x\[np.newaxis\]"),
        (image(2, 3, 8, 6), r"x.transpose\(0, 2, 3, 1\)"),
        (image(2, 144), r"x.reshape\(-1, 8, 6, 3\)"),
        (image(2, 7, 6, 3), r"shape \(2, 7, 6, 3\), but 'image' needs \(N, 8, 6, 3\), N samples in the first axis$"),
        (image(0, 8, 6, 3), "holds no sample"),
        (np.int8(3), r"shape \(\)"),
        (image(2, 8, 6, 3).astype(np.uint8), "uint8, but 'image' needs int8.*scale 0.5 and zero point -3.*float32"),
        (image(2, 8, 6, 3).astype(np.int64), "int64, but 'image' needs int8.*astype"),
        (image(2, 8, 6, 3).astype(bool), "bool.*array of numbers"),
        (image(2, 8, 6, 3).astype(complex), "complex128.*array of numbers"),
        (image(2, 8, 6, 3).astype(str), "array of numbers"),
    ],
)
def test_refused(x, sentence):
    with pytest.raises(ModelError, match=sentence):
        prepare(x, IMAGE)


def test_a_network_of_channels_first_says_so():
    """As ONNX has them: reshaping would mix the channels."""
    first = Tensor(name="image", shape=(1, 3, 8, 6), dtype="float32")
    with pytest.raises(ModelError, match=r"needs \(N, 3, 8, 6\).*channels come first, x.transpose\(0, 3, 1, 2\)$"):
        prepare(np.zeros((2, 8, 6, 3), np.float32), first)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_is_refused(value):
    x = np.zeros((2, 8, 6, 3), np.float32)
    x[1, 2, 3, 0] = value
    with pytest.raises(ModelError, match=rf"holds {value} at index \(1, 2, 3, 0\): every value must be a finite"):
        prepare(x, IMAGE)


def test_float_model_refuses_integers():
    tensor = Tensor(name="x", shape=(1, 2), dtype="float32")
    with pytest.raises(ModelError, match="int8, but 'x' needs real values, which the model quantizes by itself"):
        prepare(image(1, 2), tensor)


def test_other_models_are_refused():
    with pytest.raises(ModelError, match="'x' is int32: Celosia feeds"):
        prepare(image(1, 2), Tensor(name="x", shape=(1, 2), dtype="int32"))


def test_read_npy(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(read(tmp_path / "x.npy"), [[0, 1, 2], [3, 4, 5]])


def test_read_npz_takes_inputs_or_the_only_array(tmp_path):
    np.savez(tmp_path / "named.npz", labels=[9], inputs=[1, 2])
    np.savez(tmp_path / "only.npz", anything=[3, 4])
    np.testing.assert_array_equal(read(tmp_path / "named.npz"), [1, 2])
    np.testing.assert_array_equal(read(tmp_path / "only.npz"), [3, 4])


def test_read_npz_of_several_arrays_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", a=[1], b=[2])
    np.savez(tmp_path / "none.npz")
    with pytest.raises(ModelError, match="holds the arrays a, b: it must have one named 'inputs', or exactly one"):
        read(tmp_path / "x.npz")
    with pytest.raises(ModelError, match="holds no array"):
        read(tmp_path / "none.npz")


def test_read_missing_file_or_folder(tmp_path):
    with pytest.raises(ModelError, match=r"cannot read the inputs .*x.npy: No such file"):
        read(tmp_path / "x.npy")
    with pytest.raises(ModelError, match=r"cannot read the inputs .*: Is a directory"):
        read(tmp_path)


@pytest.mark.parametrize("archive", [False, True])
def test_read_damaged_file(tmp_path, archive):
    path = tmp_path / "x.npy"
    with path.open("wb") as file:
        if archive:
            np.savez_compressed(file, inputs=np.arange(1000))
        else:
            np.save(file, np.arange(1000))
    whole = path.read_bytes()
    rng = np.random.default_rng(7)
    for length in [0, 1, 6, 8, 10, 60, 127, 128, 129, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError, match=r"x\.npy"):
            read(path)
    for _ in range(200):  # flipped bytes either go unnoticed in the values, or are refused
        damaged = bytearray(whole)
        damaged[rng.integers(min(len(whole), 160))] = rng.integers(256)
        path.write_bytes(damaged)
        with suppress(ModelError):
            read(path)


@pytest.mark.parametrize("content", [b"1,2,3\n4,5,6\n", b"\x80\x04K\x01.", b"PK\x03\x04 no archive"])
def test_read_foreign_file(tmp_path, content):
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="is no whole NumPy file of numbers: make it with np.save"):
        read(path)


def test_read_objects_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(ModelError, match="is no whole NumPy file of numbers"):
        read(tmp_path / "x.npy")


def test_int16_model_takes_int16_and_quantizes_real_values():
    tensor = Tensor(name="x", shape=(1, 3), dtype="int16", scale=2.0**-10)
    np.testing.assert_array_equal(prepare(np.int16([[-32768, 5, 32767]]), tensor), [[-32768, 5, 32767]])
    quantized = prepare(np.array([[-100.0, 0.5, 1.0]]), tensor)
    assert quantized.dtype == np.int16
    np.testing.assert_array_equal(quantized, [[-32768, 512, 1024]])
