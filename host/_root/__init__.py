"""Celosia: neural-network accelerators from Python to bitstream.

    session = celosia.Session("model.tflite", device="sim", fabric="ecp5-85")
    y = session.run(x)
    print(session.report.to_json())

The names below are loaded on first use, so that `import celosia` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .host.report import Report as Report
    from .host.session import Session as Session
    from .sim.errors import CapacityError as CapacityError
    from .sim.errors import CelosiaError as CelosiaError
    from .sim.errors import DeviceError as DeviceError
    from .sim.errors import ModelError as ModelError
    from .sim.errors import ToolError as ToolError

__version__ = "0.1.0"

_HOMES = {
    "CapacityError": ".sim.errors",
    "CelosiaError": ".sim.errors",
    "DeviceError": ".sim.errors",
    "ModelError": ".sim.errors",
    "Report": ".host.report",
    "Session": ".host.session",
    "ToolError": ".sim.errors",
}

__all__ = ["CapacityError", "CelosiaError", "DeviceError", "ModelError", "Report", "Session", "ToolError"]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(home, __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return ["__version__", *__all__]
