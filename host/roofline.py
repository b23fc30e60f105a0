"""The roofline: what each layer could reach at the rate at which its bytes move, and what it did.

    attainable = min(MAC/cycle of its engine, bandwidth * MAC per byte moved)      for each kind of traffic

    weights         bytes that the cells or the depthwise unit read from their weight memories: rows * cols a cycle at most
    activations     bytes that the walker reads: `rows` a cycle at most
    host            bytes of weights that stream while the program runs: a stream word a cycle at most

Steps are what the fabric counted; a step reads `rows` bytes of activations whether or not all of them are of use, so a layer
whose chunks are not full has fewer MAC to the byte.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..hw.config import STREAM_BYTES, FabricConfig
from ..hw.mac.depthwise_lane import TAPS
from ..sim.errors import DeviceError
from .cost.bounds import macs_per_cycle
from .cost.model import estimate
from .device import Counters
from .schedule import Schedule

KINDS = ("weights", "activations", "host")
"""Kinds of traffic."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One layer that multiplies.

    moved           bytes an inference, by kind of traffic
    intensity       MAC per byte, by kind; none where no byte moves
    attainable      MAC/cycle, the least of the roofs over it; `roof` is that one's name
    measured        MAC/cycle
    """

    name: str
    engine: str
    macs: int
    moved: Mapping[str, float]
    intensity: Mapping[str, float]
    attainable: float
    roof: str
    measured: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Roofline:
    """All layers of a run that multiply; `bandwidths` in bytes a cycle, `peaks` in MAC/cycle of the engines."""

    model: str
    fabric: str
    device: str
    bandwidths: Mapping[str, int]
    peaks: Mapping[str, int]
    points: tuple[Point, ...]

    def to_json(self) -> str:
        """The figures behind the picture."""
        content: dict[str, Any] = {
            "model": self.model,
            "fabric": self.fabric,
            "device": self.device,
            "bandwidths": dict(self.bandwidths),
            "peaks": dict(self.peaks),
            "layers": [asdict(point) for point in self.points],
        }
        return json.dumps(content, indent=2, allow_nan=False) + "\n"


def bandwidths_of(config: FabricConfig) -> dict[str, int]:
    """Bytes a cycle by kind of traffic."""
    return {"weights": config.macs_per_cycle, "activations": config.rows, "host": STREAM_BYTES}


def roofline(plan: Schedule, counters: Counters, *, device: str) -> Roofline:
    """The roofline of a run. Raises DeviceError where the device counted nothing."""
    config = plan.config
    if not counters.samples:
        raise DeviceError(f"device {device} counted no inference, so there is no roofline: take device sim")
    bandwidths = bandwidths_of(config)
    jobs = [job for segment in plan.segments for job in segment.jobs]
    streamed = _streamed(plan)
    points = []
    peaks: dict[str, int] = {}
    for place in plan.placements:
        macs = place.node.macs(plan.graph)
        counted = counters.layers.get(place.node.name)
        if not macs or counted is None or not counted.cycles:
            continue
        own = [job for job in jobs if job.layer.node.name == place.node.name]
        steps = counted.busy / counters.samples
        peak = macs_per_cycle(place.engine, config, products=place.products)
        engine = place.engine if place.products == 1 else f"{place.engine}/{place.products}"
        peaks[engine] = peak
        weights = (
            sum(TAPS * config.cols * job.tiles for job in own) if place.engine == "depthwise" else steps * config.macs_per_cycle
        )
        moved = {
            "weights": float(weights),
            "activations": steps * config.rows,
            "host": float(streamed[place.node.name] * config.macs_per_cycle),
        }
        intensity = {kind: macs / count for kind, count in moved.items() if count}
        roofs = {engine: float(peak)} | {kind: bandwidths[kind] * value for kind, value in intensity.items()}
        roof = min(roofs, key=lambda name: roofs[name])
        points.append(
            Point(
                name=place.node.name,
                engine=engine,
                macs=macs,
                moved=moved,
                intensity=intensity,
                attainable=roofs[roof],
                roof=roof,
                measured=macs * counters.samples / counted.cycles,
            )
        )
    return Roofline(
        model=plan.graph.name,
        fabric=config.name,
        device=device,
        bandwidths=bandwidths,
        peaks=peaks,
        points=tuple(points),
    )


def _streamed(plan: Schedule) -> Counter[str]:
    """Weight words of each layer that come while its program runs: those that fill the ring come before."""
    words: Counter[str] = Counter()
    for run in estimate(plan).runs:
        ahead = plan.ring_size
        for job in run.draft.jobs:
            if job.streamed:
                words[job.layer.node.name] += max(0, job.walk.words - ahead)
                ahead = max(0, ahead - job.walk.words)
    return words
