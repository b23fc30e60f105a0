"""What is measured: fabrics, models, data."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FABRIC = "ecp5-85"
STARVED = "ecp5-85-w8k"
BOARD = "ulx3s-85f"
ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
MODELS = {
    "ic01": "ic01_resnet8_int8",
    "kws01": "kws01_dscnn_int8",
    "vww01": "vww01_mobilenet_int8",
    "ad01": "ad01_int8",
}

Figures = dict[str, float | str]
"""What goes to bench.json, by name."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A model's file, and the arrays `inputs` and `outputs`."""

    name: str
    model: Path
    data: Any


def workloads() -> Iterator[Workload]:
    """The four models, or the digits."""
    if SHARED.is_dir():
        for name, model in MODELS.items():
            yield Workload(
                name=name, model=SHARED / "models" / f"{model}.tflite", data=np.load(SHARED / "data" / f"{name}.npz")
            )
    else:
        demo = ROOT / "host" / "demo"
        yield Workload(name="digits", model=demo / "digits.tflite", data=np.load(demo / "digits.npz"))
