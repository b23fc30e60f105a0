"""Where quantizers stand: behind the network's input, and behind whatever adds up, once its Relu or Clip has clipped it.

    x -> [Affine] -> POINT -> Conv -> Relu -> POINT -> MaxPool -> Reshape -> Gemm -> POINT -> y

What moves elements, or takes the largest, passes whole numbers on as they are.
"""

from dataclasses import dataclass

import numpy as np

from .network import ADDING, FUNCTIONS, FloatNetwork, Step


@dataclass(frozen=True, kw_only=True, eq=False)
class Point:
    """A quantizer behind the activation `tensor`.

    maker: what computes it; None of the network's input. signed: whether it may be negative. clipped: the largest value that a
    Clip lets through. last: whether nothing but moving follows, so that it is what the user reads.
    """

    tensor: str
    maker: Step | None
    signed: bool
    clipped: float
    last: bool


def points_of(network: FloatNetwork) -> tuple[Point, ...]:
    """The quantizers, in the order of the steps: the input's is the first."""
    tensor = network.input
    while (reader := _only_reader(network, tensor)) is not None and reader.op == "Affine":
        tensor = reader.output
    points = [_point(network, tensor, None, ())]
    taken: set[str] = set()  # functions that stand right behind what they clip
    for step in network.steps:
        if step.op not in ADDING and (step.op not in FUNCTIONS or step.output in taken):
            continue
        end, functions = step.output, [step] if step.op in FUNCTIONS else []
        while (reader := _only_reader(network, end)) is not None and reader.op in FUNCTIONS:
            end = reader.output
            functions.append(reader)
            taken.add(end)
        points.append(_point(network, end, step, tuple(functions)))
    return tuple(points)


def _point(network: FloatNetwork, tensor: str, maker: Step | None, functions: tuple[Step, ...]) -> Point:
    low = max((step.low for step in functions), default=-np.inf)
    if maker is not None and maker.op in ("AveragePool", "GlobalAveragePool", "Add"):
        low = max(low, min(_lowest(network, name) for name in maker.inputs))
    return Point(
        tensor=tensor,
        maker=maker,
        signed=low < 0,
        clipped=min((step.high for step in functions), default=np.inf),
        last=_last(network, tensor),
    )


def _lowest(network: FloatNetwork, name: str) -> float:
    """A bound that an activation does not fall below: 0, or none that is known."""
    for step in network.steps:
        if step.output == name:
            if step.op in FUNCTIONS:
                return 0.0 if step.low >= 0 else -np.inf
            if step.op in ("Conv", "Gemm", "Affine"):
                return -np.inf
            return min(_lowest(network, other) for other in step.inputs)
    return -np.inf


def _only_reader(network: FloatNetwork, name: str) -> Step | None:
    readers = network.consumers(name)
    return readers[0] if len(readers) == 1 and name != network.output else None


def _last(network: FloatNetwork, name: str) -> bool:
    """Whether no step that adds up or clips reads it, near or far."""
    return all(step.op not in (*ADDING, *FUNCTIONS) and _last(network, step.output) for step in network.consumers(name))
