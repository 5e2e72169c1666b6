"""Measures several ways in turn, so that what else the machine does hits all of them alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from benchmarks.quiet import wait_for_quiet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Result = TypeVar("Result")


def take_turns(
    rounds: int, ways: Mapping[str, Callable[[], Result]], patience_seconds: float
) -> dict[str, list[Result]]:
    """Measure A, B, A, B, ...; return the results of each.

    Args:
        patience_seconds: How long each turn waits for a quiet machine.
    """
    results: dict[str, list[Result]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, measure in ways.items():
            wait_for_quiet(patience_seconds)
            results[name].append(measure())
    return results
