"""A design with a serial port, simulated at its pins: bit by bit, at the rate that the gateware was built for."""

import ctypes
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..hw.config import FabricConfig
from ..hw.link.device import UartFabric
from .design import Design, Notify, build_design, load
from .errors import ToolError
from .model import component_rtlil

_ROOM = 4096  # bytes that one call can give

Times = npt.NDArray[np.uint64]


def uart_fabric_design(config: FabricConfig, *, clock_hz: float, baud: float) -> Design:
    """A fabric behind its serial port, without a board around it."""
    return Design(
        name=f"{config.name.split(',')[0]}-uart",
        key=(config, clock_hz, baud),
        make=lambda: component_rtlil(UartFabric(config, clock_hz=clock_hz, baud=baud)),
        harness="pins.cc",
    )


class PinSimulator:
    """A design that runs in this process, with a UART at the other end of its pins `rx` and `tx`.

    Parameters
    ----------
    cycles_per_bit: of the UART at our end; the design has its own.
    trace: file for every signal of every cycle (VCD); then the clock runs a hundred times slower.

    Raises ToolError where it cannot be built or the trace not be written.
    """

    def __init__(
        self, design: Design, *, cycles_per_bit: float, trace: Path | None = None, notify: Notify | None = None
    ) -> None:
        self._library = load(build_design(design, trace=trace is not None, notify=notify))
        self._library.celosia_create.restype = ctypes.c_void_p
        self._library.celosia_wires.restype = ctypes.c_void_p
        self._library.celosia_cycles.restype = ctypes.c_uint64
        self._library.celosia_broken.restype = ctypes.c_uint64
        self._trace = trace
        self._simulation = ctypes.c_void_p(self._library.celosia_create(os.fsencode(trace) if trace else b""))
        if not self._simulation:
            raise ToolError(f"cannot write the trace {trace}: check that its folder exists and can be written")
        self._wires = ctypes.c_void_p(self._library.celosia_wires(self._simulation, ctypes.c_double(cycles_per_bit)))
        self._out = np.zeros(_ROOM, np.uint8)
        self._when = np.zeros(_ROOM, np.uint64)

    @property
    def cycles(self) -> int:
        """Clock cycles since the start."""
        return int(self._library.celosia_cycles(self._simulation))

    @property
    def broken(self) -> int:
        """Bytes that came without a stop bit."""
        return int(self._library.celosia_broken(self._wires))

    @property
    def is_asleep(self) -> bool:
        """Whether the fabric is at rest, so that only what comes over the wire can change it."""
        return bool(self._library.celosia_asleep(self._wires))

    def exchange(self, data: bytes, cycles: int, *, stop: bool = False) -> tuple[int, bytes, Times]:
        """Runs for that many cycles, with `stop` until `data` is sent and a byte came.

        Gives the number of bytes of `data` whose sending has begun, the bytes that came, and the cycles in which they were
        whole.
        """
        taken, given = ctypes.c_size_t(), ctypes.c_size_t()
        self._library.celosia_exchange(
            self._wires,
            data,
            ctypes.c_size_t(len(data)),
            self._out.ctypes.data_as(ctypes.c_void_p),
            self._when.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_size_t(_ROOM),
            ctypes.c_uint64(cycles),
            ctypes.c_int(stop),
            ctypes.byref(taken),
            ctypes.byref(given),
        )
        if not self._library.celosia_trace_good(self._simulation):
            raise ToolError(f"cannot write the trace {self._trace}: the disk is full, or the file was taken away")
        return taken.value, self._out[: given.value].tobytes(), self._when[: given.value].copy()

    def close(self) -> None:
        """Ends the simulation and completes its trace. May be called twice."""
        if self._simulation:
            self._library.celosia_finish(self._simulation)
            self._library.celosia_cut(self._wires)
            self._library.celosia_destroy(self._simulation)
            self._simulation = ctypes.c_void_p()
