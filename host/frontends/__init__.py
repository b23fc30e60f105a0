"""Front ends: a model file becomes a typed integer graph."""

from os import PathLike
from pathlib import Path

from ...sim.errors import ModelError
from ..ir import Graph
from . import tflite

__all__ = ["load"]

_MAX_BYTES = 1 << 31  # what a flatbuffer can hold


def load(path: str | PathLike[str]) -> Graph:
    """The graph of a model file. A file that is missing, damaged or not understood raises ModelError."""
    path = Path(path)
    try:
        size = path.stat().st_size
        if size >= _MAX_BYTES:
            raise ModelError(f"Model {path.name!r} must be smaller than 2 GB, not {size} bytes")
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: no path at all
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"Model {str(path)!r} cannot be read: {reason}") from error
    if data[4:8] == b"TFL3" or path.suffix == ".tflite":
        return tflite.parse(data, path.name)
    if path.suffix == ".onnx":
        from . import qonnx  # its schema takes a second to load

        return qonnx.parse(data, path.name)
    raise ModelError(
        f"Model {path.name!r} must be a .tflite file, which TensorFlow's converter makes, quantized to full int8, or a QONNX"
        " .onnx file, which Brevitas exports"
    )
