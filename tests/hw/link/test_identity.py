"""Who a device is: the same for the same fabric, another one for whatever a host must know."""

from dataclasses import fields, replace

from celosia.hw.config import FabricConfig
from celosia.hw.link.framing import IDENTITY_WORDS, NAME_BYTES, Identity
from celosia.hw.link.identity import digest, identity
from celosia.hw.presets import preset


def test_name_and_buffer():
    value = Identity.from_bits(identity(preset("mini"), buffer_words=512))
    assert bytes(value.name[index] for index in range(NAME_BYTES)).rstrip(b"\0") == b"mini"
    assert value.buffer_words == 512
    assert value.digest == digest(preset("mini"))
    assert identity(preset("mini"), buffer_words=512) < 1 << (32 * IDENTITY_WORDS)


def test_a_long_name_is_cut():
    long = "x" * 50 + "é"
    value = Identity.from_bits(identity(replace(preset("mini"), name=long), buffer_words=1))
    assert bytes(value.name[index] for index in range(NAME_BYTES)) == b"x" * NAME_BYTES


def test_the_digest_is_of_the_sizes():
    mini = preset("mini")
    assert digest(mini) == digest(replace(mini, name="another"))
    assert digest(mini) < 1 << 64
    digests = {digest(mini)}
    for item in fields(FabricConfig):
        if item.name in ("weight_depth", "activation_bytes", "tile_depth", "line_depth", "partial_depth", "record_depth"):
            digests.add(digest(replace(mini, **{item.name: 2 * getattr(mini, item.name)})))
    assert len(digests) == 7
