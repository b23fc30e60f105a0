"""Random networks in floating point, as exporters write them, and what onnxruntime answers to them."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]


class FloatWriter:
    """A float network that grows node by node; every method gives the name of what it computes. The input is `x`."""

    def __init__(self, shape: tuple[int, ...], seed: int = 0) -> None:
        self.shape = shape
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, values: npt.ArrayLike) -> str:
        """A constant; float32 if its values are floating-point numbers."""
        array = np.asarray(values)
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array.astype(np.float32) if array.dtype.kind == "f" else array, name))
        return name

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        """A node of one output."""
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=f"{op}_{len(self.nodes)}", **attributes))
        return output

    def conv(self, x: str, inputs: int, outputs: int, kernel: int = 3, *, bias: bool = True, **attributes: Any) -> str:
        """Conv with random weights that keep the variance."""
        depth = inputs // attributes.get("group", 1)
        weights = self.rng.normal(size=(outputs, depth, kernel, kernel)) * (2 / (depth * kernel**2)) ** 0.5
        biases = [self.constant(self.rng.normal(size=outputs) * 0.2)] if bias else []
        return self.node("Conv", x, self.constant(weights), *biases, **attributes)

    def batch_norm(self, x: str, channels: int) -> str:
        """BatchNormalization, some factors negative."""
        rng = self.rng
        values = rng.normal(size=channels) + 0.5, rng.normal(size=channels), rng.normal(size=channels) * 0.3
        return self.node("BatchNormalization", x, *map(self.constant, (*values, rng.uniform(0.5, 2, channels))))

    def gemm(self, x: str, inputs: int, outputs: int) -> str:
        """Gemm, transB as PyTorch writes it."""
        weights = self.rng.normal(size=(outputs, inputs)) * (2 / inputs) ** 0.5
        return self.node("Gemm", x, self.constant(weights), self.constant(self.rng.normal(size=outputs) * 0.2), transB=1)

    def data(self, output: str, batch: int | str = 1, opset: int = 17) -> bytes:
        """The bytes of the .onnx file."""
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, (batch, *self.shape[1:]))],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
        model.ir_version = 8
        return model.SerializeToString()


def answers(data: bytes, x: Array) -> Array:
    """onnxruntime's, one sample at a time."""
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: x[index : index + 1]})[0] for index in range(len(x))])


def random_network(seed: int) -> tuple[FloatWriter, str]:
    """(network, output): all that the quantizer takes, in some order."""
    net = FloatWriter((1, 3, 10, 9), seed)
    rng = net.rng
    x = "x"
    if rng.integers(2):
        x = net.node("Sub", x, net.constant(rng.normal(size=(1, 3, 1, 1)) * 0.1))
        x = net.node("Div", x, net.constant(rng.uniform(0.3, 0.6, (3, 1, 1))))
    channels = int(rng.choice([4, 6]))
    x = net.conv(x, 3, channels, bias=bool(rng.integers(2)), pads=[1, 1, 1, 1], strides=[1, 1 + int(rng.integers(2))])
    x = net.node("Relu", net.batch_norm(x, channels)) if rng.integers(2) else net.node("Relu", x)
    kind = int(rng.integers(4))
    if kind == 0:  # an inverted bottleneck's middle
        x = net.conv(x, channels, channels, group=channels, pads=[1, 1, 1, 1])
        x = net.node("Clip", net.batch_norm(x, channels), net.constant(0.0), net.constant(1.5))
    elif kind == 1:  # a residual block
        y = net.node("Relu", net.conv(x, channels, channels, pads=[1, 1, 1, 1]))
        y = net.batch_norm(net.conv(y, channels, channels, 1), channels)
        x = net.node("Add", y, x)
        x = net.node("Relu", x) if rng.integers(2) else x
    elif kind == 2:  # before its activation
        y = net.conv(net.node("Relu", net.batch_norm(x, channels)), channels, channels, pads=[1, 1, 1, 1])
        x = net.node("Add", x, y)
    else:
        x = net.node("Relu", net.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]))
        x = net.node("Pad", x, net.constant(np.array([0, 0, 1, 1, 0, 0, 0, 1])), net.constant(0.0))
        x = net.conv(x, channels, channels, 2, group=2, dilations=[1, 1])
    height = answers(net.data(x), np.zeros((1, 3, 10, 9), np.float32)).shape[2]
    if rng.integers(2):
        x = net.node("Flatten", net.node("GlobalAveragePool", x))
        size = channels
    else:
        x = net.node("AveragePool", x, kernel_shape=[2, 1], strides=[2, 1]) if height > 2 and rng.integers(2) else x
        x = net.node("Reshape", x, net.constant(np.array([1, -1])))
        size = answers(net.data(x), np.zeros((1, 3, 10, 9), np.float32)).shape[1]
    if rng.integers(2):
        x = net.node("Relu", net.batch_norm(net.gemm(x, size, 12), 12))
        size = 12
    x = net.gemm(x, size, 5)
    return net, net.node("Softmax", x) if rng.integers(2) else x


def digits_network() -> tuple[bytes, Array, Array]:
    """(model, images float32 (N, 1, 8, 8), labels): a convolution of fixed random weights, and two layers that scikit-learn
    trains behind it on handwritten digits; right on some 91 % of those that it has not seen, which are the last 450."""
    from sklearn.datasets import load_digits
    from sklearn.neural_network import MLPClassifier

    stored = load_digits()
    images = (stored.images[:, np.newaxis] / 16).astype(np.float32)
    net = FloatWriter((1, 1, 8, 8), 1)
    x = net.node("Relu", net.conv("x", 1, 8, pads=[1, 1, 1, 1]))
    x = net.node("Flatten", net.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]))
    features = answers(net.data(x), images)
    trained = MLPClassifier((24,), max_iter=40, random_state=1, learning_rate_init=0.004, n_iter_no_change=40)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # forty rounds are enough
        trained.fit(features[:-450], stored.target[:-450])
    for layer, (weights, bias) in enumerate(zip(trained.coefs_, trained.intercepts_, strict=True)):
        x = net.node("Relu", x) if layer else x
        x = net.node("Gemm", x, net.constant(weights), net.constant(bias))
    return net.data(net.node("Softmax", x)), images, stored.target.astype(np.int64)


def write_digits(folder: Path) -> tuple[Array, Array]:
    """digits.onnx with x.npy and y.npy, which it has not seen; gives all images and labels."""
    model, x, labels = digits_network()
    (folder / "digits.onnx").write_bytes(model)
    np.save(folder / "x.npy", x[-450:])
    np.save(folder / "y.npy", labels[-450:])
    return x, labels
