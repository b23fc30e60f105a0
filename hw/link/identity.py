"""Who a device is: a name for people, and a digest of all that its host must know to drive it."""

from dataclasses import asdict
from hashlib import sha256

from amaranth.hdl import Shape
from amaranth.lib import data

from .. import isa
from ..config import FabricConfig
from .framing import NAME_BYTES, Identity


def digest(config: FabricConfig) -> int:
    """64 bits of SHA-256 over the sizes of a configuration, whatever its name, and over the layouts of the command set."""
    sizes = {key: value for key, value in asdict(config).items() if key != "name"}
    enumerations = [[(item.name, item.value) for item in kind] for kind in (isa.Command, isa.Answer, isa.Operation)]
    layouts = [
        [(key, field.offset, Shape.cast(field.shape).width, Shape.cast(field.shape).signed) for key, field in layout]
        for layout in map(data.Layout.cast, (isa.Header, isa.Descriptor, isa.Record))
    ]
    text = repr((sorted(sizes.items()), enumerations, layouts, isa.CHANNEL_WORDS, isa.SHIFT_BITS))
    return int.from_bytes(sha256(text.encode()).digest()[:8], "little")


def identity(config: FabricConfig, *, buffer_words: int) -> int:
    """The identity as the value of `framing.Identity`."""
    name = config.name.encode("ascii", "replace")[:NAME_BYTES].ljust(NAME_BYTES, b"\0")
    value = Identity.const({"digest": digest(config), "buffer_words": buffer_words, "name": list(name)})
    return value.as_value().value
