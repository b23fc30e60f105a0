"""TensorFlow Lite: an int8 model becomes the integer graph, with the numbers that the reference kernels would use.

tflite_reader     bytes to plain records; all that may be wrong with the bytes
tflite_tensors    which tensors are computed by now, and how they are quantized
tflite_operator   an operator's checked view of its tensors and options
tflite_nodes      a function an operator, that makes its node
"""

from ...sim.errors import ModelError
from ..ir import Graph, Node
from .tflite_nodes import NODES
from .tflite_operator import Operator
from .tflite_reader import StoredOperator, read
from .tflite_tensors import Tensors


def parse(data: bytes, name: str = "model") -> Graph:
    """The graph of a .tflite file's bytes; `name` is the graph's. Whatever is not understood raises ModelError."""
    try:
        return _graph(data, name)
    except ModelError as error:
        raise ModelError(f"Model {name!r}: {error}") from error.__cause__


def _graph(data: bytes, name: str) -> Graph:
    model = read(data)
    if len(model.inputs) != 1:
        raise ModelError(f"the model must have one input, not {len(model.inputs)}: export a model of one input")
    if not model.operators or not model.outputs:
        raise ModelError("the model must have operators and outputs, and has none")
    tensors = Tensors(model.tensors)
    tensors.define_input(model.inputs[0])
    nodes = tuple(_node(tensors, index, operator) for index, operator in enumerate(model.operators))
    return Graph(
        name=name,
        tensors={tensor.name: tensor for tensor in tensors.known.values()},
        nodes=nodes,
        inputs=(tensors.known[model.inputs[0]].name,),
        outputs=tuple(dict.fromkeys(tensors.output(index) for index in model.outputs)),
        metadata={"format": "tflite", "description": model.description},
    )


def _node(tensors: Tensors, index: int, stored: StoredOperator) -> Node:
    output = tensors.label(stored.outputs[0]) if stored.outputs else "none"
    try:
        if stored.name not in NODES:
            raise ModelError(f"it is not supported: leave it out of the exported model, or replace it by {', '.join(NODES)}")
        return NODES[stored.name](Operator(tensors, index, stored))
    except ModelError as error:
        raise ModelError(f"operator {index} ({stored.name}, output {output}): {error}") from error.__cause__
