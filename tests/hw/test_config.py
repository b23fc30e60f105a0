"""The fabric's configuration: presets, derived sizes, and what is refused."""

from dataclasses import FrozenInstanceError, fields, replace

import pytest
from celosia.hw.config import STREAM_BYTES, FabricConfig
from celosia.hw.presets import preset, presets
from hypothesis import given
from hypothesis import strategies as st

MINI = preset("mini")


def test_presets_have_their_names():
    assert [preset(config.name) for config in presets()] == list(presets())
    assert {"mini", "ecp5-25", "ecp5-85", "ecp5-85-w8k"} <= {config.name for config in presets()}
    # What the preset is for: nearly every layer's weights stream through 8 KiB.
    assert preset("ecp5-85-w8k").weight_bytes == 8192
    assert replace(preset("ecp5-85"), name="ecp5-85-w8k", weight_depth=32, partial_depth=512) == preset("ecp5-85-w8k")
    assert (preset("ecp5-85").macs_per_cycle, preset("mini").macs_per_cycle) == (256, 16)


@pytest.mark.parametrize("config", presets(), ids=lambda config: config.name)
def test_derived_sizes(config):
    assert config.macs_per_cycle * config.step_cycles == config.rows * config.cols == 2 * config.rows * config.pairs
    assert config.weight_bytes == config.weight_depth * config.rows * config.cols
    assert config.beats * config.requant_lanes == config.cols
    assert 1 << config.activation_address_bits >= config.activation_bytes
    assert 1 << config.weight_address_bits >= config.weight_depth
    assert config.tile_cycles > 2 * config.beats


@given(st.sampled_from(presets()), st.integers(2, 5000))
def test_addresses_reach_the_last_word_and_no_further(config, depth):
    changed = replace(config, weight_depth=depth)
    assert 1 << (changed.weight_address_bits - 1) < depth <= 1 << changed.weight_address_bits


def test_the_xnor_engine():
    """A word of `8 * rows` bits against `rows` outputs, for each pixel; the preset is the chip's with the engine instead of the
    depthwise unit."""
    config = preset("ecp5-85-xnor")
    assert config.binary_macs_per_cycle == 128 * 16 * 4
    assert config.plane_limit == 4
    room = {"depthwise_tiles": 112, "partial_depth": 16, "adder_levels": 1}
    assert replace(config, name="ecp5-85", xnor_pixels=0, **room) == preset("ecp5-85")
    small = replace(config, name="ecp5-85-xnor2", xnor_pixels=2)
    assert small == preset("ecp5-85-xnor2")
    assert (small.binary_macs_per_cycle, small.plane_limit) == (4096, 2)
    assert all(not other.xnor_pixels for other in presets() if other not in (config, small))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "mini,xnor_pixels=2",
            "rows must be 8 or 16, and requant_lanes a multiple of 8, where xnor_pixels is not 0, not 4 and 2: binary outputs",
        ),
        ("ecp5-85,requant_lanes=4,xnor_pixels=2", "not 16 and 4: binary outputs are packed into bytes"),
        ("ecp5-85,xnor_pixels=3", "xnor_pixels must be 0 or a power of two up to 8, not 3"),
        ("ecp5-85,xnor_pixels=16", "xnor_pixels must be 0 or a power of two up to 8, not 16"),
        ("ecp5-85,rows=32,cols=32,xnor_pixels=2", "not 32 and 16"),
        ("up5k,xnor_pixels=1", "rows must be 8 or 16"),
    ],
)
def test_refused_engines(name, words):
    with pytest.raises(ValueError, match=words):
        preset(name)


def test_presets_with_changes():
    config = preset("ecp5-85,weight_depth=32,activation_bytes=131072")
    assert (config.weight_depth, config.activation_bytes, config.rows) == (32, 131072, 16)
    assert config.name == "ecp5-85,weight_depth=32,activation_bytes=131072"
    assert replace(config, name="ecp5-85", weight_depth=1024, activation_bytes=65536) == preset("ecp5-85")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ecp5", r"unknown fabric 'ecp5': choose one of up5k, mini, gw2a-18"),
        ("", "unknown fabric ''"),
        ("mini,depth=3", r"'depth=3' is not SIZE=NUMBER with a size of .*weight_depth"),
        ("mini,name=3", "'name=3' is not SIZE=NUMBER"),
        ("mini,rows", "'rows' is not SIZE=NUMBER"),
        ("mini,weight_depth=-3", "'weight_depth=-3' is not SIZE=NUMBER"),
        ("mini,weight_depth=4.5", "is not SIZE=NUMBER"),
        ("mini,", "'' is not SIZE=NUMBER"),
    ],
)
def test_refused_names(name, words):
    with pytest.raises(ValueError, match=words):
        preset(name)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rows": 8}, "cols must equal rows, not 4 against 8"),
        ({"rows": 12, "cols": 12}, "rows must be a power of two of 4 or more, not 12"),
        ({"rows": 2, "cols": 2}, "rows must be a power of two of 4 or more, not 2"),
        ({"requant_lanes": 3}, "requant_lanes must divide cols, not 3"),
        ({"requant_lanes": 8}, "requant_lanes must divide cols, not 8"),
        ({"activation_bytes": 16385}, "activation_bytes must be a multiple of rows, not 16385"),
        ({"row_groups": 5}, "4 rows do not make 5 row_groups: one has none"),
        ({"row_groups": 3}, "4 rows do not make 3 row_groups: one has none"),
        ({"carry_rows": 5}, "carry_rows must be at most rows, not 5"),
        ({"adder_levels": 3}, "adder_levels must be at most 2, not 3"),
        ({"widest_bits": 10}, "widest_bits must be 8 or 16, not 10"),
        ({"widest_bits": 16, "carry_rows": 1}, "carry_rows must be 0 where widest_bits is 16, not 1"),
        ({"weight_depth": 1}, "weight_depth must be 2 or more, not 1"),
        ({"weight_depth": 2.0}, "weight_depth must be a positive integer, not 2.0"),
    ],
)
def test_refused_sizes(changes, words):
    with pytest.raises(ValueError, match=words) as refusal:
        replace(MINI, **changes)
    assert str(refusal.value).startswith("fabric 'mini': ")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"step_cycles": 2}, "step_cycles must be 1 or rows \\(4\\), not 2"),
        (
            {"depthwise_tiles": 1},
            "depthwise_tiles must be 0 where step_cycles is not 1, not 1: a compact fabric leaves that out",
        ),
        ({"requant_lanes": 2}, "requant_lanes must be 1 where step_cycles is not 1, not 2"),
        ({"widest_bits": 16}, "widest_bits must be 8 where step_cycles is not 1, not 16"),
        ({"adder_levels": 2}, "adder_levels must be 1 where step_cycles is not 1, not 2"),
    ],
)
def test_refused_sizes_of_a_compact_fabric(changes, words):
    with pytest.raises(ValueError, match=words):
        replace(preset("up5k"), **changes)


@pytest.mark.parametrize(
    "size",
    [
        item.name
        for item in fields(FabricConfig)
        if item.name not in ("name", "carry_rows", "depthwise_tiles", "requant_multipliers", "xnor_pixels")
    ],
)
def test_every_size_is_positive(size):
    for value in (0, -4):
        with pytest.raises(ValueError, match=f"fabric 'mini': {size} must be a positive integer, not {value}"):
            replace(MINI, **{size: value})


def test_a_configuration_does_not_change():
    with pytest.raises(FrozenInstanceError):
        MINI.rows = 8
    assert MINI.rows % STREAM_BYTES == 0


@pytest.mark.parametrize(("rows", "groups"), [(4, 1), (4, 2), (8, 3), (16, 3), (16, 6), (16, 16)])
def test_groups_share_the_rows(rows, groups):
    """In order, none empty, all of one size but for the last one, which may be smaller."""
    config = replace(preset("mini"), rows=rows, cols=rows, requant_lanes=rows, row_groups=groups)
    of_rows = [config.group_of(row) for row in range(rows)]
    sizes = [of_rows.count(group) for group in range(groups)]
    assert of_rows == sorted(of_rows)
    assert sum(sizes) == rows
    assert set(sizes[:-1]) <= {-(-rows // groups)}
    assert 0 < sizes[-1] <= -(-rows // groups)
