"""From a trained network to a QONNX file, each weight in one byte.

Brevitas writes latent weights as float32. Of them a quantizer lets only whole numbers times a scale through, so those numbers
are stored as int8, and Cast and Mul bring them back before the quantizer, which then finds what it would have made of them.
"""

import io

import numpy as np
import onnx
import torch
from brevitas.export import export_qonnx
from onnx import TensorProto, helper, numpy_helper
from torch import nn

_SMALL = 64  # elements that are left as they are


def export(network: nn.Module, shape: tuple[int, ...], name: str) -> bytes:
    """The .onnx bytes of a network for one image of `shape` (1, channels, height, width)."""
    stream = io.BytesIO()
    network.eval()
    export_qonnx(
        network, args=torch.zeros(shape), export_path=stream, input_names=["image"], output_names=["logits"], dynamo=False
    )
    model = onnx.load_from_string(stream.getvalue())
    model.graph.name = name
    compact(model)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def export_float(network: nn.Module, shape: tuple[int, ...], name: str) -> bytes:
    """The .onnx bytes of a network in floating point, batch normalization folded by the exporter."""
    stream = io.BytesIO()
    network.eval()
    torch.onnx.export(
        network, (torch.zeros(shape),), stream, input_names=["image"], output_names=["logits"], dynamo=False, opset_version=17
    )
    model = onnx.load_from_string(stream.getvalue())
    model.graph.name = name
    onnx.checker.check_model(model)
    return model.SerializeToString()


def compact(model: onnx.ModelProto) -> None:
    """Stores the weights of every Quant and BipolarQuant of one scale as int8, in place."""
    graph = model.graph
    stored = {value.name: value for value in graph.initializer}
    for value in graph.node:
        if value.op_type == "Constant" and value.attribute and value.attribute[0].name == "value":
            stored.setdefault(value.output[0], value.attribute[0].t)
    nodes = list(graph.node)
    del graph.node[:]
    for node in nodes:
        weights = stored.get(node.input[0]) if node.op_type in ("Quant", "BipolarQuant") else None
        if weights is not None and np.prod(weights.dims) > _SMALL:
            graph.node.extend(_compacted(graph, node, numpy_helper.to_array(weights), stored))
        graph.node.append(node)
    used = {name for node in graph.node for name in node.input}
    kept = [value for value in graph.initializer if value.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    read = [value for value in graph.input if value.name in used - set(stored)]
    del graph.input[:]
    graph.input.extend(read)
    kept_nodes = [node for node in graph.node if node.op_type != "Constant" or node.output[0] in used]
    del graph.node[:]
    graph.node.extend(kept_nodes)


def _compacted(
    graph: onnx.GraphProto, node: onnx.NodeProto, weights: np.ndarray, stored: dict[str, onnx.TensorProto]
) -> list[onnx.NodeProto]:
    """The nodes in front of a quantizer that give it whole numbers times its scale."""
    scale = numpy_helper.to_array(stored[node.input[1]]).astype(np.float32)
    if node.op_type == "BipolarQuant":
        whole = np.where(weights >= 0, 1, -1)
    else:
        bits = int(numpy_helper.to_array(stored[node.input[3]]))
        narrow = next(value.i for value in node.attribute if value.name == "narrow")
        most = 2 ** (bits - 1) - 1
        whole = np.clip(np.round(weights / scale), -most if narrow else -most - 1, most)
    base = node.output[0]
    graph.initializer.append(numpy_helper.from_array(whole.astype(np.int8), f"{base}_whole"))
    graph.initializer.append(numpy_helper.from_array(scale, f"{base}_unit"))
    node.input[0] = f"{base}_real"
    return [
        helper.make_node("Cast", [f"{base}_whole"], [f"{base}_float"], name=f"{base}_cast", to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{base}_float", f"{base}_unit"], [f"{base}_real"], name=f"{base}_scaled"),
    ]
