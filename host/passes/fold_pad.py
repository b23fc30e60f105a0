"""Padding before a convolution becomes the convolution's own.

A convolution pads with its input's zero point. So does Keras' ZeroPadding2D, as a node of its own, where a network
wants another padding than "same" (MobileNet before its strided layers).
"""

from dataclasses import replace

from ..ir import Conv2D, DepthwiseConv2D, Graph, Node, Pad, Padding


def fold_pad(graph: Graph) -> Graph:
    """Drops each Pad whose one reader is a convolution that would pad with the same value."""
    folded = {pad.output: pad for pad in graph.nodes if isinstance(pad, Pad) and _folds(pad, graph)}
    nodes = tuple(_rewritten(node, folded) for node in graph.nodes if node.output not in folded)
    tensors = {name: tensor for name, tensor in graph.tensors.items() if name not in folded}
    return replace(graph, nodes=nodes, tensors=tensors)


def _folds(pad: Pad, graph: Graph) -> bool:
    readers = graph.consumers(pad.output)
    image = len(pad.padding) == 4 and pad.padding[0] == pad.padding[3] == (0, 0)
    if not image or len(readers) != 1 or pad.output in graph.outputs:
        return False
    reader = readers[0]
    return isinstance(reader, Conv2D | DepthwiseConv2D) and reader.input_zero_point == pad.value


def _rewritten(node: Node, folded: dict[str, Pad]) -> Node:
    pad = folded.get(node.inputs[0])
    if pad is None or not isinstance(node, Conv2D | DepthwiseConv2D):
        return node
    (top, bottom), (left, right) = node.padding
    (before_h, after_h), (before_w, after_w) = pad.padding[1:3]
    padding: Padding = ((top + before_h, bottom + after_h), (left + before_w, right + after_w))
    return replace(node, inputs=pad.inputs, padding=padding)
