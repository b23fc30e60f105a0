"""Windows that slide over an image: what convolution and pooling share. Images are (N, height, width, channels)."""

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]
NumberT = TypeVar("NumberT", bound=np.generic)

NO_PADDING: Padding = ((0, 0), (0, 0))


def output_size(size: int, kernel: int, stride: int, dilation: int, padding: Pair) -> int:
    """Positions of a window along one axis: (before + size + after - ((kernel - 1) * dilation + 1)) // stride + 1."""
    return (sum(padding) + size - (kernel - 1) * dilation - 1) // stride + 1


def surround(
    x: npt.NDArray[np.integer], padding: Padding, dtype: type[NumberT], offset: int, fill: int
) -> npt.NDArray[NumberT]:
    """`x - offset` as another type, inside a frame of `fill`."""
    (top, bottom), (left, right) = padding
    samples, height, width, channels = x.shape
    framed = np.full((samples, top + height + bottom, left + width + right, channels), fill, dtype)
    np.subtract(x, offset, out=framed[:, top : top + height, left : left + width], dtype=dtype, casting="unsafe")
    return framed


def patches(x: npt.NDArray[NumberT], kernel: Pair, stride: Pair, dilation: Pair) -> npt.NDArray[NumberT]:
    """A view (N, rows, cols, kernel_h, kernel_w, channels) of all windows of `x`, before any copy: im2col."""
    extent = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    view = np.lib.stride_tricks.sliding_window_view(x, extent, axis=(1, 2))
    view = view[:, :: stride[0], :: stride[1], :, :: dilation[0], :: dilation[1]]
    return view.transpose(0, 1, 2, 4, 5, 3)


def taps(
    x: npt.NDArray[NumberT], kernel: Pair, stride: Pair, dilation: Pair
) -> Iterator[tuple[int, int, npt.NDArray[NumberT]]]:
    """For each position (i, j) of the kernel, the view (N, rows, cols, channels) of what it meets."""
    view = patches(x, kernel, stride, dilation)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            yield i, j, view[:, :, :, i, j]
