"""From nodes to layers of the fabric: loops, packed weights, channel parameters.

lower        which lowering a node takes, and whether a descriptor can hold what it makes
layer        what they make
dense, windows, elementwise, binary, serial   a file for each way of walking
sums         what sums may be, and how they become int8
"""

from .layer import Channels, Layer, Unsupported
from .lower import lower, lower_transposed

__all__ = ["Channels", "Layer", "Unsupported", "lower", "lower_transposed"]
