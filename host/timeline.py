"""Which unit of the fabric was busy when, in one inference of a run.

What is measured: for each descriptor, in the order in which they ran, the fabric's own record: its length in cycles, and how
many of them the walker took a step, waited for weights, waited for room, or was not at work. A descriptor begins where the
last one ended. Lengths are means over the run's inferences, which differ only where a link makes weights late.

What is modelled: where inside a descriptor the walker's part lies (behind the launch, `host.cost`), by how much each engine
and the requantizer follow the walker (the latencies that the gateware states), and the loading: a stream word a cycle, before
each program and, of weights that stream, during it. The cycles before a program are in no record.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..hw.isa import Operation
from ..sim.errors import DeviceError
from .cost.latencies import latencies_of
from .cost.model import Run, estimate
from .cost.program import Span
from .device import LayerCounters
from .report import Number
from .schedule import Schedule

DESCRIPTORS, LOADER, WALKER, ARRAY, DEPTHWISE, VECTOR, XNOR, REQUANTIZER, STORE = UNITS = (
    "descriptors",
    "loader",
    "walker",
    "array",
    "depthwise unit",
    "vector unit",
    "XNOR engine",
    "requantizer",
    "store",
)
"""The rows of a timeline."""

_ENGINES = {
    Operation.MAC: ARRAY,
    Operation.DEPTHWISE: DEPTHWISE,
    Operation.MAX: VECTOR,
    Operation.ADD: VECTOR,
    Operation.OR: VECTOR,
    Operation.XNOR: XNOR,
    Operation.SERIAL: XNOR,
}
_RESULT = "result"

MEASURED = "length of each descriptor, and its cycles of steps and of waiting: the fabric's records, means per inference"
MODELLED = "where in a descriptor each unit works, from the gateware's latencies; loading, at a stream word a cycle"


@dataclass(frozen=True, kw_only=True)
class Activity:
    """A unit at work from cycle `begin` up to `end`; `measured` where the fabric counted it, else modelled."""

    unit: str
    name: str
    begin: Number
    end: Number
    measured: bool
    details: Mapping[str, Number]


@dataclass(frozen=True, kw_only=True, eq=False)
class Timeline:
    """One inference: `activities` in the order of `UNITS` and of time; cycle 0 takes the first word of the input.

    cycles          of all records
    cycles_load     before programs, in no record
    """

    model: str
    fabric: str
    device: str
    samples: int
    cycles: Number
    cycles_load: int
    activities: tuple[Activity, ...]

    def to_json(self) -> str:
        """The Chrome trace event format, which Perfetto opens: a thread a unit, one microsecond for a cycle."""
        names = {"name": "process_name", "ph": "M", "pid": 1, "args": {"name": f"{self.model} on {self.fabric}"}}
        events: list[dict[str, Any]] = [names]
        for place, unit in enumerate(UNITS):
            thread = {"ph": "M", "pid": 1, "tid": place}
            events.append({"name": "thread_name", **thread, "args": {"name": unit}})
            events.append({"name": "thread_sort_index", **thread, "args": {"sort_index": place}})
        for item in self.activities:
            events.append(
                {
                    "name": item.name,
                    "cat": "measured" if item.measured else "modelled",
                    "ph": "X",
                    "pid": 1,
                    "tid": UNITS.index(item.unit),
                    "ts": item.begin,
                    "dur": item.end - item.begin,
                    "args": dict(item.details),
                }
            )
        about = {
            "model": self.model,
            "fabric": self.fabric,
            "device": self.device,
            "samples": self.samples,
            "cycles": self.cycles,
            "cycles_load": self.cycles_load,
            "unit": "a microsecond here is a clock cycle of the fabric",
            "measured": MEASURED,
            "modelled": MODELLED,
        }
        return json.dumps({"traceEvents": events, "displayTimeUnit": "ms", "otherData": about}, indent=1) + "\n"


def timeline(plan: Schedule, records: Sequence[LayerCounters], *, device: str, samples: int) -> Timeline:
    """The timeline of a plan's inference from the records of its descriptors, sums over `samples` inferences.

    Raises DeviceError where the records are not one for each descriptor.
    """
    runs = estimate(plan).runs
    count = sum(len(run.time.spans) for run in runs)
    if len(records) != count or not samples:
        raise DeviceError(
            f"device {device} gave {len(records)} records of {count} descriptors, so when each ran is unknown: take device sim"
        )
    activities: list[Activity] = []
    now: Number = 0
    left = iter(records)
    for run in runs:
        if run.words_before:
            activities.append(_modelled(LOADER, "input and what is loaded anew", now, now + run.words_before))
        now += run.words_before
        activities.extend(_loads(run, now))
        for index, (name, span) in enumerate(zip(run.draft.records, run.time.spans, strict=True)):
            record = _mean(next(left), samples)
            activities.extend(_descriptor(plan, run, index, name or _RESULT, span, record, now))
            now += record["cycles"]
    order = {unit: place for place, unit in enumerate(UNITS)}
    cycles_load = sum(run.words_before for run in runs)
    return Timeline(
        model=plan.graph.name,
        fabric=plan.config.name,
        device=device,
        samples=samples,
        cycles=now - cycles_load,
        cycles_load=cycles_load,
        activities=tuple(sorted(activities, key=lambda item: (order[item.unit], item.begin))),
    )


def _descriptor(
    plan: Schedule, run: Run, index: int, name: str, span: Span, record: Mapping[str, Number], begin: Number
) -> Iterator[Activity]:
    """What one descriptor's record and the model say of every unit."""
    end = begin + record["cycles"]
    yield Activity(unit=DESCRIPTORS, name=name, begin=begin, end=end, measured=True, details=record)
    launched = min(begin + span.launched - span.begin, end)
    if index >= len(run.draft.jobs):
        yield _modelled(STORE, name, launched, end)
        return
    walked = min(launched + record["busy"] + record["weights"] + record["output"], end)
    waits = {key: record[key] for key in ("busy", "weights", "output")}
    yield _modelled(WALKER, name, launched, walked, waits)
    walk = run.draft.jobs[index].walk
    latencies = latencies_of(plan.config)
    if walk.operation is Operation.XNOR:  # the engine writes itself
        yield _modelled(XNOR, name, min(launched + latencies.walk, end), end)
        return
    drained = max(end - (latencies.kept if walk.kept else latencies.post[walk.wide]), launched)
    yield _modelled(_ENGINES[walk.operation], name, min(launched + latencies.walk, end), drained)
    if not walk.kept:
        needed = walk.steps if walk.window is None else walk.window.first_word * walk.result_cycles(plan.config)
        first = launched + needed - 1 + latencies.walk + latencies.engine[walk.operation]
        yield _modelled(REQUANTIZER, name, min(first, end), end)


def _loads(run: Run, start: Number) -> Iterator[Activity]:
    """Weights that stream during a program; words without a pause between them are one activity."""
    begin = end = None
    for first, last in run.time.loads:
        if begin is not None and first != end:
            yield _modelled(LOADER, "weights", start + begin, start + (end or 0))
            begin = None
        begin = first if begin is None else begin
        end = last + 1
    if begin is not None:
        yield _modelled(LOADER, "weights", start + begin, start + (end or 0))


def _modelled(unit: str, name: str, begin: Number, end: Number, details: Mapping[str, Number] | None = None) -> Activity:
    return Activity(unit=unit, name=name, begin=begin, end=end, measured=False, details=details or {})


def _mean(record: LayerCounters, samples: int) -> dict[str, Number]:
    values = {name: getattr(record, name) for name in ("cycles", "busy", "weights", "activations", "output")}
    return {name: value // samples if value % samples == 0 else value / samples for name, value in values.items()}
