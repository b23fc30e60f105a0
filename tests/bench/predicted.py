"""What the cost model said before the run, against what the fabric counted in it: every layer."""

from celosia.host.cost.summary import Target, summarize
from celosia.host.report import Report, percent
from celosia.host.schedule import schedule
from celosia.host.session import load_model
from celosia.hw.presets import preset
from rich.table import Table

from .workloads import FABRIC, Figures, Workload


def compare(workload: Workload, report: Report, figures: Figures) -> Table:
    """The table of a model's layers; `cost.worst_error` is the largest relative error of any layer so far."""
    config = preset(FABRIC)
    summary = summarize(schedule(load_model(workload.model), config), Target(fabric=config))
    rows = Table(title=f"{workload.name} on {FABRIC}: cycles predicted against simulated", show_footer=True)
    rows.add_column("layer", footer="inference")
    rows.add_column("engine")
    for heading, footer in {
        "predicted": f"{summary.cost.cycles:,}",
        "simulated": f"{report.cycles:,.0f}",
        "error": f"{abs(summary.cost.cycles - report.cycles) / report.cycles:.2%}",
        "util.": percent(report.utilization),
    }.items():
        rows.add_column(heading, footer, justify="right")
    rows.add_column("bound by")
    worst = float(figures.get("cost.worst_error", 0.0))
    for layer, simulated in zip(summary.layers, report.layers, strict=True):
        if not simulated.cycles:
            continue
        error = abs(layer.cycles - simulated.cycles) / simulated.cycles
        worst = max(worst, error)
        rows.add_row(
            layer.name,
            layer.engine,
            f"{layer.cycles:,}",
            f"{simulated.cycles:,.0f}",
            f"{error:.2%}",
            percent(simulated.utilization) if layer.macs else "",
            f"{layer.bound} {layer.parts[layer.bound] / layer.cycles:.0%}",
        )
    figures["cost.worst_error"] = worst
    return rows
