"""The fabric's clock out of the board's oscillator: a PLL's dividers, solved, and the PLL itself behind one interface.

oscillator --> / reference --> phase detector --> VCO --> / output --> clock
                                    ^                       |
                                    +------ / feedback -----+

    phase detector = oscillator / reference
    clock          = phase detector * feedback
    VCO            = clock * output

A range that a chip's data sheet gives is a field of its `PllLimits`.
"""

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import ClockDomain, Elaboratable, Instance, Module, Signal
from amaranth.lib import io
from amaranth.lib.cdc import FFSynchronizer, ResetSynchronizer

from ..sim.errors import CapacityError

_MEGA = 1_000_000


@dataclass(frozen=True, kw_only=True)
class PllLimits:
    """What a family's PLL can do; frequencies in Hz, lowest and highest."""

    reference: range
    feedback: range
    output: tuple[int, ...]
    detector: tuple[float, float]
    vco: tuple[float, float]
    clock: tuple[float, float]


LIMITS = {
    # Lattice FPGA-DS-02012, table of sysCLOCK PLL timing.
    "ecp5": PllLimits(
        reference=range(1, 129),
        feedback=range(1, 81),
        output=tuple(range(1, 129)),
        detector=(3.125e6, 400e6),
        vco=(400e6, 800e6),
        clock=(3.125e6, 400e6),
    ),
    # Lattice FPGA-DS-02008, table of sysCLOCK PLL timing; the feedback is taken in front of the output divider.
    "ice40": PllLimits(
        reference=range(1, 17),
        feedback=range(1, 129),
        output=(2, 4, 8, 16, 32, 64),
        detector=(10e6, 133e6),
        vco=(533e6, 1066e6),
        clock=(16e6, 275e6),
    ),
    # Gowin UG286 and DS226, speed grade C8/I7.
    "gowin": PllLimits(
        reference=range(1, 65),
        feedback=range(1, 65),
        output=(2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128),
        detector=(3e6, 500e6),
        vco=(500e6, 1250e6),
        clock=(3.90625e6, 625e6),
    ),
}


@dataclass(frozen=True, kw_only=True)
class PllSettings:
    """Dividers, and the frequencies in Hz that they make."""

    family: str
    oscillator_hz: int
    reference: int
    feedback: int
    output: int

    @property
    def detector_hz(self) -> float:
        """Frequency at the phase detector."""
        return self.oscillator_hz / self.reference

    @property
    def vco_hz(self) -> float:
        """Frequency of the oscillator in the PLL."""
        if self.family == "ice40":
            return self.detector_hz * self.feedback
        return self.clock_hz * self.output

    @property
    def clock_hz(self) -> float:
        """Frequency that comes out."""
        clock = self.oscillator_hz * self.feedback / self.reference
        return clock / self.output if self.family == "ice40" else clock


def solve(family: str, oscillator_hz: int, clock_hz: int) -> PllSettings:
    """The dividers whose clock is nearest to `clock_hz` and not above it, by more than a millionth; fastest VCO first.

    Raises CapacityError where the PLL cannot come within 5 %.
    """
    limits = LIMITS[family]

    def within(value: float, bounds: tuple[float, float]) -> bool:
        return bounds[0] <= value <= bounds[1]

    candidates = [
        settings
        for reference in limits.reference
        if within(oscillator_hz / reference, limits.detector)
        for feedback in limits.feedback
        for output in limits.output
        for settings in (
            PllSettings(family=family, oscillator_hz=oscillator_hz, reference=reference, feedback=feedback, output=output),
        )
        if within(settings.vco_hz, limits.vco)
        and within(settings.clock_hz, limits.clock)
        and settings.clock_hz <= clock_hz * (1 + 1e-6)
    ]
    best = max(candidates, key=lambda item: (item.clock_hz, item.detector_hz, item.vco_hz), default=None)
    if best is None or best.clock_hz < 0.95 * clock_hz:
        low, high = (bound / _MEGA for bound in limits.clock)
        raise CapacityError(
            f"the PLL of the {family} family makes no clock near {clock_hz / _MEGA:g} MHz from {oscillator_hz / _MEGA:g} MHz: "
            f"choose one between {low:g} and {high:g} MHz"
        )
    return best


_GATES = {"ecp5": ("DCCA", "CLKI", "CLKO"), "gowin": ("DQCE", "CLKIN", "CLKOUT")}
"""By family: a gate for clocks, its clock and the gated one; its enable is CE."""


class Clock(Elaboratable):
    """Makes the clock of the domain `sync` out of the platform's oscillator. `sync` is for the design's top to add.

    The fabric begins as its registers say, and nothing may clock it before the PLL has locked. Where the chip has a gate for
    clocks, the clock waits behind it, so that no register needs a reset; elsewhere `sync` has an asynchronous reset until then.
    """

    def __init__(self, settings: PllSettings, oscillator: tuple[str, int]):
        self.settings = settings
        self._oscillator = oscillator
        self._gate = _GATES.get(settings.family)
        self.sync = ClockDomain("sync", reset_less=self._gate is not None, async_reset=self._gate is None)
        self.buffered = Signal(name="oscillator")  # the oscillator behind its pad, for other PLLs; none on the iCE40

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        if hasattr(platform, "simulated_clock"):  # every cycle of the simulation is one of `sync`
            m.d.comb += self.sync.clk.eq(platform.simulated_clock)
            return m
        pin = platform.request(*self._oscillator, dir="-")
        clock, locked = Signal(name="pll_clock"), Signal()
        if self.settings.family == "ice40":
            m.submodules.pll = self._ice40(pin, clock, locked)
        else:
            m.submodules.buffer = buffer = io.Buffer("i", pin)
            make = {"ecp5": self._ecp5, "gowin": self._gowin}[self.settings.family]
            m.submodules.pll = make(buffer.i, clock, locked)
            m.d.comb += self.buffered.eq(buffer.i)

        if self._gate is not None:
            cell, given, made = self._gate
            start = ClockDomain("start", reset_less=True, local=True)
            m.domains += start
            enable = Signal()
            m.submodules.lock = FFSynchronizer(locked, enable, o_domain="start", stages=3)
            m.submodules.gate = Instance(cell, ("i", given, clock), ("i", "CE", enable), ("o", made, self.sync.clk))
            m.d.comb += start.clk.eq(clock)
        else:
            m.d.comb += self.sync.clk.eq(clock)
            m.submodules.reset = ResetSynchronizer(~locked, domain="sync")
        platform.add_clock_constraint(self.sync.clk, self.settings.clock_hz)
        return m

    def _ecp5(self, oscillator: Any, clock: Any, locked: Any) -> Any:
        return ecp5_pll(self.settings, oscillator, clock, locked)

    def _ice40(self, pin: Any, clock: Any, locked: Any) -> Any:
        settings = self.settings
        edges = (17e6, 26e6, 44e6, 66e6, 101e6)  # upper ends of the loop filter's ranges, by the phase detector's frequency
        return Instance(
            "SB_PLL40_PAD",
            p_FEEDBACK_PATH="SIMPLE",
            p_DIVR=settings.reference - 1,
            p_DIVF=settings.feedback - 1,
            p_DIVQ=settings.output.bit_length() - 1,
            p_FILTER_RANGE=1 + sum(settings.detector_hz >= edge for edge in edges),
            i_PACKAGEPIN=pin.io,
            i_RESETB=1,
            i_BYPASS=0,
            o_PLLOUTGLOBAL=clock,
            o_LOCK=locked,
        )

    def _gowin(self, oscillator: Any, clock: Any, locked: Any) -> Any:
        settings = self.settings
        return Instance(
            "rPLL",
            p_FCLKIN=f"{settings.oscillator_hz / _MEGA:g}",
            p_DEVICE="GW2A-18C",
            p_IDIV_SEL=settings.reference - 1,
            p_FBDIV_SEL=settings.feedback - 1,
            p_ODIV_SEL=settings.output,
            p_DYN_IDIV_SEL="false",
            p_DYN_FBDIV_SEL="false",
            p_DYN_ODIV_SEL="false",
            p_PSDA_SEL="0000",
            p_DUTYDA_SEL="1000",
            p_DYN_DA_EN="false",
            p_CLKOUT_BYPASS="false",
            p_CLKOUTP_BYPASS="false",
            p_CLKOUTD_BYPASS="false",
            p_CLKOUTD_SRC="CLKOUT",
            p_CLKOUTD3_SRC="CLKOUT",
            p_DYN_SDIV_SEL=2,
            p_CLKOUT_FT_DIR=1,
            p_CLKOUT_DLY_STEP=0,
            p_CLKOUTP_FT_DIR=1,
            p_CLKOUTP_DLY_STEP=0,
            p_CLKFB_SEL="internal",
            i_CLKIN=oscillator,
            i_CLKFB=0,
            i_RESET=0,
            i_RESET_P=0,
            i_FBDSEL=0,
            i_IDSEL=0,
            i_ODSEL=0,
            i_PSDA=0,
            i_DUTYDA=0,
            i_FDLY=0,
            o_CLKOUT=clock,
            o_LOCK=locked,
        )


def ecp5_pll(settings: PllSettings, oscillator: Any, clock: Any, locked: Any, *, divided: tuple[Any, int] | None = None) -> Any:
    """The ECP5's PLL: `clock` as the settings say; `divided` is a second, aligned one, and by what it is slower."""
    second: dict[str, Any] = {}
    if divided is not None:
        slow, ratio = divided
        second = {
            "a_FREQUENCY_PIN_CLKOS": f"{settings.clock_hz / ratio / _MEGA:.6f}",
            "p_CLKOS_DIV": settings.output * ratio,
            "p_CLKOS_ENABLE": "ENABLED",
            "p_CLKOS_CPHASE": settings.output - 1,
            "p_CLKOS_FPHASE": 0,
            "p_OUTDIVIDER_MUXB": "DIVB",
            "i_ENCLKOS": 0,
            "o_CLKOS": slow,
        }
    return Instance(
        "EHXPLLL",
        a_FREQUENCY_PIN_CLKI=f"{settings.oscillator_hz / _MEGA:.6f}",
        a_FREQUENCY_PIN_CLKOP=f"{settings.clock_hz / _MEGA:.6f}",
        # Loop filter and charge pump as the vendor's own generator sets them.
        a_ICP_CURRENT="12",
        a_LPF_RESISTOR="8",
        a_MFG_ENABLE_FILTEROPAMP="1",
        a_MFG_GMCREF_SEL="2",
        p_CLKI_DIV=settings.reference,
        p_CLKFB_DIV=settings.feedback,
        p_CLKOP_DIV=settings.output,
        p_CLKOP_ENABLE="ENABLED",
        p_CLKOP_CPHASE=settings.output - 1,
        p_CLKOP_FPHASE=0,
        p_FEEDBK_PATH="CLKOP",
        p_OUTDIVIDER_MUXA="DIVA",
        i_CLKI=oscillator,
        i_CLKFB=clock,
        i_RST=0,
        i_STDBY=0,
        i_PHASESEL0=0,
        i_PHASESEL1=0,
        i_PHASEDIR=1,
        i_PHASESTEP=1,
        i_PHASELOADREG=1,
        i_PLLWAKESYNC=0,
        i_ENCLKOP=0,
        o_CLKOP=clock,
        o_LOCK=locked,
        **second,
    )
