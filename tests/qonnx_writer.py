"""Writes small QONNX networks with onnx' helper, as Brevitas exports them, and runs them on QONNX' executor."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

DOMAIN = "qonnx.custom_op.general"
Array = npt.NDArray[Any]


class QonnxWriter:
    """A network that grows node by node. Every method takes names of tensors, and returns the name of what it computes.

    shape: of the input, (1, channels, height, width) or (1, features). The input is called `x`.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._count = 0

    def constant(self, values: npt.ArrayLike) -> str:
        """A constant; float32 if its values are floating-point numbers."""
        array = np.asarray(values)
        self._count += 1
        name = f"c{self._count}"
        self.constants.append(numpy_helper.from_array(array.astype(np.float32) if array.dtype.kind == "f" else array, name))
        return name

    def node(self, op: str, inputs: list[str], domain: str = "", **attributes: Any) -> str:
        """A node of one output."""
        self._count += 1
        output = f"t{self._count}"
        self.nodes.append(helper.make_node(op, inputs, [output], name=f"{op}_{self._count}", domain=domain, **attributes))
        return output

    def quant(
        self,
        x: str,
        scale: npt.ArrayLike,
        bits: float = 8,
        *,
        zero_point: float = 0.0,
        signed: bool = True,
        narrow: bool = False,
        rounding: str = "ROUND",
    ) -> str:
        """Quant."""
        parameters = [self.constant(np.asarray(value, np.float32)) for value in (scale, zero_point, bits)]
        return self.node("Quant", [x, *parameters], DOMAIN, signed=int(signed), narrow=int(narrow), rounding_mode=rounding)

    def bipolar(self, x: str, scale: npt.ArrayLike = 1.0) -> str:
        """BipolarQuant."""
        return self.node("BipolarQuant", [x, self.constant(np.asarray(scale, np.float32))], DOMAIN)

    def weights(self, values: Array, scale: npt.ArrayLike, bits: float = 8, *, narrow: bool = True) -> str:
        """Weights behind their quantizer; of one bit, -1 and +1."""
        stored = self.constant(values)
        return self.bipolar(stored, scale) if bits == 1 else self.quant(stored, scale, bits, narrow=narrow)

    def thresholds(self, x: str, thresholds: Array, scale: float = 1.0, bias: float = 0.0) -> str:
        """MultiThreshold; thresholds (channels or 1, n)."""
        attributes = {"out_scale": scale, "out_bias": bias, "out_dtype": "FLOAT32", "data_layout": ""}
        return self.node("MultiThreshold", [x, self.constant(thresholds)], DOMAIN, **attributes)

    def batch_norm(self, x: str, scale: Array, bias: Array, mean: Array, variance: Array) -> str:
        """BatchNormalization."""
        return self.node("BatchNormalization", [x, *(self.constant(value) for value in (scale, bias, mean, variance))])

    def model(self, outputs: list[str], batch: int = 1) -> onnx.ModelProto:
        """The whole, for `batch` images at once."""
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, (batch, *self.shape[1:]))],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13), helper.make_opsetid(DOMAIN, 1)])
        model.ir_version = 8
        return model

    def data(self, *outputs: str) -> bytes:
        """The bytes of the .onnx file."""
        return self.model(list(outputs)).SerializeToString()

    def execute(self, x: Array, *outputs: str) -> list[Array]:
        """What QONNX' executor answers to x (N, ...)."""
        return execute(self.model(list(outputs), len(x)), {"x": x})


def execute(model: onnx.ModelProto, inputs: dict[str, Array]) -> list[Array]:
    """QONNX' executor on a model for as many images as the inputs hold."""
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    wrapped = ModelWrapper(model).transform(InferShapes())
    answers = execute_onnx(wrapped, inputs)
    return [answers[value.name] for value in model.graph.output]


def batched(data: bytes, batch: int) -> onnx.ModelProto:
    """A model of a batch of one for another batch."""
    model = onnx.load_from_string(data)
    constants = {value.name for value in model.graph.initializer}
    for value in (*model.graph.input, *model.graph.output):
        for dim in value.type.tensor_type.shape.dim[:1]:
            dim.dim_value = dim.dim_value if value.name in constants else batch
    del model.graph.value_info[:]
    return model
