"""What was measured, against what, and whether that is good enough."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COLUMN = 9
HEADINGS = ("median", "min", "max", "n", "ratio")


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Measurements of one thing, in the unit of its case."""

    name: str
    values: Sequence[float]
    note: str = ""
    """What else is to be said of it."""
    limit: float | None = None
    """Goal for our own series: a median that is not above this."""
    ratio_limit: float | None = None
    """Goal against this series: our median is not above this part of its median."""
    within_noise: bool = False
    """That goal is met up to this series' upper quartile: both do the same, and may differ by
    chance."""

    @property
    def median(self) -> float:
        """The figure that counts: on a shared machine a mean would tell of the others."""
        return median(self.values)

    @property
    def upper_quartile(self) -> float:
        """A quarter of the values is above this."""
        return quantiles(self.values, method="inclusive")[-1] if self.values[1:] else self.median


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing measured under one set of conditions: ours, and what it is compared with."""

    name: str
    unit: str
    ours: Series
    others: Sequence[Series] = ()
    decimals: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Goal:
    text: str
    met: bool

    def __str__(self) -> str:
        return f"{self.text} {'met' if self.met else 'MISSED'}"


def without_goals(case: Case) -> Case:
    """Return the case with nothing to judge it by: it is too small to mean anything."""
    others = [replace(other, ratio_limit=None) for other in case.others]
    return replace(case, ours=replace(case.ours, limit=None), others=others)


def missed_goals(case: Case) -> list[str]:
    """Say which goals were missed, each in a line."""
    return [
        f"{case.name}: {series.name}: {goal.text}, and it is {value:.3f}"
        for series, ratio, goal in _lines(case)
        if goal is not None and not goal.met
        for value in [series.median if ratio is None else ratio]
    ]


def as_text(case: Case) -> str:
    """Make a small table; a ratio is our median divided by that of its line."""
    title = f"{case.name}, {case.unit}"
    names = [f"  {series.name}" for series in (case.ours, *case.others)]
    width = max(map(len, [title, *names]))
    out = [title.ljust(width) + "".join(f"{heading:>{COLUMN}}" for heading in HEADINGS)]
    for name, (series, ratio, goal) in zip(names, _lines(case), strict=True):
        figures = (series.median, min(series.values), max(series.values))
        cells = "".join(f"{figure:{COLUMN}.{case.decimals}f}" for figure in figures)
        ratio_text = "" if ratio is None else f"{ratio:.3f}"
        rest = f"{len(series.values):{COLUMN}}{ratio_text:>{COLUMN}}  {goal or ''}"
        out.append((name.ljust(width) + cells + rest).rstrip())
        if series.note:
            out.append(f"    {series.note}")
    return "\n".join(out)


def as_json(case: Case) -> dict[str, Any]:
    """Make the JSON object of a case."""
    lines = [
        {
            "name": series.name,
            "median": series.median,
            "min": min(series.values),
            "max": max(series.values),
            "values": list(series.values),
            "note": series.note,
            "ratio": ratio,
            "goal": goal and goal.text,
            "met": goal and goal.met,
        }
        for series, ratio, goal in _lines(case)
    ]
    return {"case": case.name, "unit": case.unit, "series": lines}


def _lines(case: Case) -> Iterator[tuple[Series, float | None, _Goal | None]]:
    """Yield each series, the ratio of ours to it, and the goal that it stands for."""
    ours, limit = case.ours, case.ours.limit
    goal = limit and _Goal(text=f"at most {limit:g} {case.unit}", met=ours.median <= limit)
    yield ours, None, goal or None
    for other in case.others:
        yield other, ours.median / other.median, _ratio_goal(ours, other)


def _ratio_goal(ours: Series, other: Series) -> _Goal | None:
    if other.ratio_limit is None:
        return None
    text = f"at most {other.ratio_limit:g}"
    if other.within_noise:
        met = ours.median <= other.ratio_limit * other.upper_quartile
        return _Goal(text=f"{text} within noise", met=met)
    return _Goal(text=text, met=ours.median <= other.ratio_limit * other.median)
