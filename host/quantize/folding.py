"""Passes over a float network: what scales and shifts goes into a layer, activations stand right behind what they clip.

y = factor * (W x + b) + offset  is  (factor * W) x + (factor * b + offset): batch normalization and its like. Where no layer
stands in front, an Affine of an image becomes a depthwise convolution of one pixel; behind the network's input it stays, for
there it is computed in floating point, before the first quantizer.
"""

from dataclasses import replace

import numpy as np

from ...sim.errors import ModelError
from .network import FUNCTIONS, LAYERS, FloatNetwork, Step

_MOVING = ("MaxPool", "Reshape", "Transpose")  # a rising function may stand on either side of them


def fold(network: FloatNetwork) -> FloatNetwork:
    """All passes. Raises ModelError for an Affine that nothing can take."""
    return _affine(_functions_first(network))


def _functions_first(network: FloatNetwork) -> FloatNetwork:
    """Relu behind a pooling or a reshape moves in front of it."""
    steps = list(network.steps)
    moved = True
    while moved:
        moved = False
        for place, step in enumerate(steps):
            if step.op not in FUNCTIONS:
                continue
            before = next((index for index, other in enumerate(steps) if other.output == step.inputs[0]), None)
            if before is None or steps[before].op not in _MOVING or not _alone(network, steps, step.inputs[0]):
                continue
            mover = steps[before]
            inner = replace(step, inputs=mover.inputs, output=mover.output, shape=_shape_of(network, steps, mover.inputs[0]))
            steps[before] = inner
            steps[place] = replace(mover, inputs=(mover.output,), output=step.output, shape=step.shape)
            moved = True
    return replace(network, steps=tuple(steps))


def _shape_of(network: FloatNetwork, steps: list[Step], name: str) -> tuple[int, ...]:
    return network.shape if name == network.input else next(step.shape for step in steps if step.output == name)


def _alone(network: FloatNetwork, steps: list[Step], name: str) -> bool:
    """Whether an activation has one reader, and is no output."""
    return name != network.output and sum(step.inputs.count(name) for step in steps) == 1


def _affine(network: FloatNetwork) -> FloatNetwork:
    steps: list[Step] = []
    real = {network.input}  # the input, and what is computed of it in floating point
    for place, step in enumerate(network.steps):
        if step.op != "Affine":
            steps.append(step)
            continue
        source = step.inputs[0]
        if source in real:
            real.add(step.output)
            steps.append(step)
            continue
        before = next(index for index, other in enumerate(steps) if other.output == source)
        if steps[before].op in LAYERS and _alone(network, [*steps, *network.steps[place:]], source):
            steps[before] = _taken(steps[before], step)
        elif len(step.shape) == 4:
            steps.append(_depthwise(step))
        else:
            raise ModelError(f"{step} scales what is no image, and no layer in front of it can take that: move it behind one")
    return replace(network, steps=tuple(steps))


def _taken(layer: Step, affine: Step) -> Step:
    factor, offset = affine.kernel, affine.offsets
    weights = layer.kernel * factor.reshape(-1, *(1,) * (layer.kernel.ndim - 1))
    return replace(layer, weights=weights, bias=layer.offsets * factor + offset, output=affine.output)


def _depthwise(affine: Step) -> Step:
    channels = len(affine.kernel)
    return replace(
        affine,
        op="Conv",
        weights=np.ascontiguousarray(affine.kernel.reshape(channels, 1, 1, 1)),
        attributes={"kernel_shape": [1, 1], "group": channels},
    )
