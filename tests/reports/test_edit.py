from __future__ import annotations

from typing import TYPE_CHECKING

from vmstate_tools.reports.edit import MAX_SHOWN, as_text
from vmstate_tools.snapshot.edit import Edit

if TYPE_CHECKING:
    from vmstate_tools.device.values import PlainValue


def edit(before: PlainValue, after: PlainValue) -> Edit:
    return Edit(field="d#0::x", before=before, after=after, changes=())


def test_values_are_shown_before_and_after() -> None:
    edits = [edit(1, -2), edit("00ff", "11ff"), edit([1, 2], [3, 4])]
    assert as_text(edits).splitlines() == [
        "d#0::x: 1 -> -2",
        "d#0::x: 00ff -> 11ff",
        "d#0::x: [1, 2] -> [3, 4]",
    ]


def test_long_values_are_cut() -> None:
    line = as_text([edit("ab" * 500, after=False)])
    assert line == f"d#0::x: {'ab' * 500:.{MAX_SHOWN - 1}}… -> false"


def test_names_from_strangers_are_harmless() -> None:
    assert "\x1b" not in as_text([edit("\x1b[2J", 0)])
