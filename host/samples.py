"""From the user's array to the model's input: reads it, checks it, and quantizes real values.

Whatever does not fit is refused with what is there, what is needed, and the line of Python that makes the one of the
other.
"""

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..sim.errors import ModelError
from ..sim.golden import quantize
from .device import Array
from .ir import Tensor


def read(path: str | os.PathLike[str], key: str = "inputs") -> Array:
    """The array of a .npy file, or of a .npz file: the one named `key`, or the only one.

    Raises ModelError where the file is missing, foreign or truncated.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if not isinstance(loaded, np.lib.npyio.NpzFile):
                return np.asarray(loaded)
            names = loaded.files
            if key not in names and len(names) != 1:
                held = f"the arrays {', '.join(names)}" if names else "no array"
                raise ModelError(f"{path} holds {held}: it must have one named {key!r}, or exactly one")
            return np.asarray(loaded[key if key in names else names[0]])
    except ModelError:
        raise
    except OSError as error:
        raise ModelError(f"cannot read the {key} {path}: {error.strerror or error}") from error
    except MemoryError as error:
        raise ModelError(f"{path} claims more values than this machine's memory holds") from error
    except Exception as error:  # ValueError, EOFError, BadZipFile, TokenError, ...: NumPy parses the header as Python
        raise ModelError(
            f"{path} is no whole NumPy file of numbers: make it with np.save({str(path)!r}, x), x an array"
        ) from error


def prepare(x: npt.ArrayLike, tensor: Tensor) -> Array:
    """`x` as the model's input `tensor` needs it, with any number of samples in the first axis.

    An int8 tensor takes int8 as it is, and real values by its scale and zero point (uint8 and int16 likewise). A float32
    tensor, of a model that quantizes by itself, takes real values as they are.

    Raises ModelError where shape, type or a value (NaN, infinity) does not fit.
    """
    array = np.asarray(x)
    _check_shape(array, tensor)
    _check_type(array, tensor)
    if np.issubdtype(array.dtype, np.integer):
        return np.ascontiguousarray(array)
    if not np.isfinite(array).all():
        where = tuple(int(index) for index in np.argwhere(~np.isfinite(array))[0])
        raise ModelError(f"the input holds {array[where]} at index {where}: every value must be a finite number")
    with np.errstate(over="ignore"):  # beyond float32 lies saturation
        real = np.ascontiguousarray(array, np.float32)
    if tensor.dtype == "float32":
        return real
    if tensor.dtype == "uint8":
        return (quantize(real, tensor.scale, tensor.zero_point - 128).astype(np.int16) + 128).astype(np.uint8)
    return quantize(real, tensor.scale, tensor.zero_point, tensor.dtype)


def _check_shape(array: Array, tensor: Tensor) -> None:
    sample = tensor.shape[1:]
    need = f"({', '.join(('N', *map(str, sample)))}{'' if sample else ','}), N samples in the first axis"
    if array.shape[1:] == sample and array.ndim:
        if not len(array):
            raise ModelError(f"the input has shape {array.shape}: it holds no sample")
        return
    size = int(np.prod(sample))
    if array.shape == sample:
        advice = ": a single sample needs its axis too, x[np.newaxis]"
    elif array.ndim == len(sample) + 1 == 4 and array.shape[1:] == (sample[2], *sample[:2]):
        advice = ": channels come last, x.transpose(0, 2, 3, 1)"
    elif array.ndim == len(sample) + 1 == 4 and array.shape[1:] == (*sample[1:], sample[0]):
        advice = ": channels come first, x.transpose(0, 3, 1, 2)"
    elif array.ndim and len(array) and array[0].size == size:
        advice = f": the same values fit as x.reshape(-1, {', '.join(map(str, sample))})"
    else:
        advice = ""
    raise ModelError(f"the input has shape {array.shape}, but {tensor.name!r} needs {need}{advice}")


def _check_type(array: Array, tensor: Tensor) -> None:
    if tensor.dtype not in ("int8", "uint8", "int16", "float32"):
        raise ModelError(f"the model's input {tensor.name!r} is {tensor.dtype}: Celosia feeds int8, uint8, int16 and float32")
    quantized = tensor.dtype != "float32"
    if np.issubdtype(array.dtype, np.floating) or (quantized and array.dtype == tensor.dtype):
        return
    if quantized:
        quantization = f"scale {tensor.scale:.9g} and zero point {tensor.zero_point}"
        need = f"{tensor.dtype}, or real values to be quantized with {quantization}"
    else:
        need = "real values, which the model quantizes by itself"
    if not np.issubdtype(array.dtype, np.integer):
        advice = "give it an array of numbers"
    else:
        advice = "scale x as in training and give it as float32"
        if quantized:
            advice += f", or x.astype(np.{tensor.dtype}) if it is quantized already"
    raise ModelError(f"the input is {array.dtype}, but {tensor.name!r} needs {need}: {advice}")
