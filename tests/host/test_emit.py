"""Command words, carried out by a model of the fabric in plain NumPy that knows the command set and nothing of the gateware.

`Model` is a transport: the driver runs whole networks on it, on fabrics of any odd size, without building one. It refuses what
real memories would not do: words that nobody loaded, addresses beyond the end, a ring that is filled over its size.
"""

from amaranth.lib import data
from celosia.hw.isa import Descriptor

NOTHING = 1 << 20
"""What a byte holds that nobody wrote."""

_FIELDS = {name: (field.offset, field.width, data.Layout.cast(Descriptor)[name].shape) for name, field in Descriptor.as_shape()}
