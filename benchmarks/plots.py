"""Plots as SVG, when matplotlib is installed (extra `bench`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from benchmarks.crawling import CONTENDERS
from benchmarks.stats import Summary, number_at

Record = Mapping[str, object]
PANELS = (
    ("wall_seconds", "wall time, s"),
    ("publishing.median", "job's end to its rows published, s"),
    ("rows.missing", "rows missing"),
)


def crawl(name: str, groups: Mapping[str, Sequence[Record]], folder: Path) -> Path | None:
    """Bars with the range of the repetitions, one for each contender; None without matplotlib."""
    if find_spec("matplotlib") is None:
        return None
    import matplotlib as mpl  # noqa: PLC0415 - an extra
    from matplotlib.figure import Figure  # noqa: PLC0415

    mpl.rcParams.update({"svg.hashsalt": name, "font.size": 9.0})
    figure = Figure(figsize=(10.0, 0.6 + 0.35 * len(groups)), layout="constrained")
    panels = figure.subplots(1, len(PANELS), sharey=True)
    for axes, (path, title) in zip(panels, PANELS, strict=True):
        for contender, records in groups.items():
            draw(axes, CONTENDERS[contender].title, Summary.of(number_at(one, path) for one in records))
        axes.set_title(title, fontsize=9.0)
        axes.grid(axis="x", alpha=0.3)
    panels[0].invert_yaxis()
    file = folder / f"performance-{name}.svg"
    figure.savefig(file, metadata={"Date": None})
    return file


def draw(axes: object, title: str, summary: Summary | None) -> None:
    """One bar; nothing but its name where nothing was measured."""
    if summary is None:
        axes.barh(title, 0.0)  # type: ignore[attr-defined]
        return
    reach = [[summary.median - summary.least], [summary.most - summary.median]]
    ours = title.startswith("thunderbit_dagster")
    axes.barh(title, summary.median, xerr=reach, color="tab:orange" if ours else "tab:blue")  # type: ignore[attr-defined]
