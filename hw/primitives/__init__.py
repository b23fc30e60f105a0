"""What a vendor's primitive does better than inferred logic, each behind a component with a portable twin.

The platform decides: on a Lattice ECP5 or iCE40 UltraPlus the primitive is instanced, anywhere else, the simulator included,
its twin. Both have the same ports and the same latency.
"""


def is_ecp5(platform) -> bool:
    """Whether `platform` is a Lattice ECP5."""
    return getattr(platform, "family", None) == "ecp5"


def is_ultra_plus(platform) -> bool:
    """Whether `platform` is a Lattice iCE40 UltraPlus: the iCE40 with single-ported memories and multipliers."""
    return str(getattr(platform, "device", "")).startswith("iCE40UP")


def placed_at(platform, site: str) -> dict[str, str]:
    """Keyword arguments that give an instance the place that the platform's floorplan has for `site`, if it has one.

    A floorplan is a mapping from the names of sites to BELs: `platform.floorplan`.
    """
    floorplan = getattr(platform, "floorplan", None) or {}
    return {"a_BEL": floorplan[site]} if site in floorplan else {}
