"""The fabrics that have names."""

from dataclasses import fields, replace

from .config import DOUBLE_BITS, FabricConfig

# LFE5U-85F: 156 multipliers, 208 block RAMs. Two products a multiplier make 256 MAC a cycle on 128 of them; a requantizer lane
# takes one of the others.
_ECP5_85 = FabricConfig(
    name="ecp5-85",
    rows=16,
    cols=16,
    row_groups=3,
    carry_rows=0,
    weight_depth=1024,
    activation_bytes=65536,
    requant_lanes=16,
    requant_multipliers=16,
    tile_depth=256,
    depthwise_tiles=112,
    line_depth=512,
    partial_depth=16,
    program_words=2048,
    record_depth=128,
)

_PRESETS = {
    item.name: item
    for item in (
        # iCE40UP5K: 5,280 logic cells, 8 multipliers, 30 block RAMs of 4 Kbit, 4 memories of 32 KiB with one port: two of these
        # hold weights, two activations.
        FabricConfig(
            name="up5k",
            rows=4,
            cols=4,
            row_groups=1,
            carry_rows=0,
            weight_depth=4096,
            activation_bytes=65536,
            requant_lanes=1,
            requant_multipliers=4,
            tile_depth=149,
            depthwise_tiles=0,
            line_depth=1,
            partial_depth=0,
            program_words=512,
            record_depth=48,
            step_cycles=4,
        ),
        # 16 MAC a cycle: unit tests, and the smallest boards.
        FabricConfig(
            name="mini",
            rows=4,
            cols=4,
            row_groups=1,
            carry_rows=0,
            weight_depth=1024,
            activation_bytes=16384,
            requant_lanes=2,
            requant_multipliers=4,
            tile_depth=256,
            depthwise_tiles=64,
            line_depth=64,
            partial_depth=64,
            program_words=2048,
            record_depth=64,
        ),
        # GW2A-18: 20,736 LUT4, 15,552 flip-flops, 48 multipliers, 46 block RAMs. Depthwise layers have no unit of their own.
        FabricConfig(
            name="gw2a-18",
            rows=4,
            cols=4,
            row_groups=1,
            carry_rows=0,
            weight_depth=1024,
            activation_bytes=16384,
            requant_lanes=2,
            requant_multipliers=4,
            tile_depth=256,
            depthwise_tiles=0,
            line_depth=64,
            partial_depth=64,
            program_words=2048,
            record_depth=64,
        ),
        # LFE5U-12F and -25F: 28 multipliers, 56 block RAMs. The last row does without multipliers, depthwise layers
        # without a unit of their own.
        FabricConfig(
            name="ecp5-25",
            rows=8,
            cols=8,
            row_groups=1,
            carry_rows=1,
            weight_depth=1024,
            activation_bytes=16384,
            requant_lanes=2,
            requant_multipliers=0,
            tile_depth=128,
            depthwise_tiles=0,
            line_depth=64,
            partial_depth=16,
            program_words=1024,
            record_depth=64,
        ),
        # LFE5U-45F: 72 multipliers, 108 block RAMs.
        FabricConfig(
            name="ecp5-45",
            rows=8,
            cols=8,
            row_groups=1,
            carry_rows=0,
            weight_depth=1024,
            activation_bytes=32768,
            requant_lanes=4,
            requant_multipliers=8,
            tile_depth=256,
            depthwise_tiles=112,
            line_depth=512,
            partial_depth=16,
            program_words=2048,
            record_depth=64,
        ),
        _ECP5_85,
        # The same with the XNOR engine in the depthwise unit's place: 4,096 binary MAC a cycle on the array's weight banks, two
        # pixels at a time, or a fourth of that of 2 bits. With a register behind every adder it would have 69,000 flip-flops,
        # and hardly be placed.
        replace(_ECP5_85, name="ecp5-85-xnor2", depthwise_tiles=0, partial_depth=512, xnor_pixels=2, adder_levels=2),
        # The same with four pixels, 8,192 binary MAC a cycle, or a fourth or sixteenth of that of 2 or 4 bits. On an
        # LFE5U-85F it was placed; routing was stopped with some 25,000 wires overused.
        replace(_ECP5_85, name="ecp5-85-xnor", depthwise_tiles=0, partial_depth=512, xnor_pixels=4, adder_levels=2),
        # The same for numbers of up to 16 bits too. Partial sums of many pixels wait in the depthwise unit's block RAM.
        replace(_ECP5_85, name="ecp5-85-16", depthwise_tiles=0, partial_depth=512, widest_bits=DOUBLE_BITS),
        # The same array with a weight buffer of 8 KiB, so that nearly every layer streams: the proof of the controller.
        replace(_ECP5_85, name="ecp5-85-w8k", weight_depth=32, partial_depth=512),
    )
}


def presets() -> tuple[FabricConfig, ...]:
    """The presets that have names, smallest first."""
    return tuple(_PRESETS.values())


def preset(name: str) -> FabricConfig:
    """The preset of that name, with fields changed where the name goes on: `ecp5-85,weight_depth=32`.

    Raises ValueError, one sentence, where the name or a field is unknown or the result is no valid fabric.
    """
    base, *changes = name.split(",")
    if base not in _PRESETS:
        raise ValueError(f"unknown fabric {base!r}: choose one of {', '.join(_PRESETS)}")
    sizes = {item.name for item in fields(FabricConfig)} - {"name"}
    values: dict[str, int] = {}
    for change in changes:
        key, _, text = change.partition("=")
        if key not in sizes or not text.isdecimal():
            raise ValueError(f"fabric {name!r}: {change!r} is not SIZE=NUMBER with a size of {', '.join(sorted(sizes))}")
        values[key] = int(text)
    return replace(_PRESETS[base], name=name, **values)
