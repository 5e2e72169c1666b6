"""The snapshot directories in a place, finished or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from vmstate_tools.core.errors import FormatError, UnsupportedError, UsageError, VmstateError
from vmstate_tools.snapshot.manifest import is_finished, is_snapshot_directory, read_manifest
from vmstate_tools.snapshot.pairing import PairingProblem, find_pairing_problems

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from vmstate_tools.snapshot.manifest import Manifest

State = Literal["finished", "unfinished", "damaged", "unsupported", "unreadable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A snapshot directory."""

    directory: Path
    state: State
    manifest: Manifest | None
    problems: tuple[PairingProblem, ...] = ()
    error: str | None = None
    """Why there is no manifest to show."""


def find_snapshots(places: Iterable[Path]) -> list[Entry]:
    """Return the snapshots in `places`, each a snapshot directory or a folder of some.

    Those of one place are in the order in which they were taken, then those without a manifest.

    Raises:
        UsageError: a place is not there, or is not a directory.
    """
    entries = []
    for place in places:
        found = [_read_entry(directory) for directory in _iter_directories(place)]
        entries += sorted(found, key=_order)
    return entries


def _order(entry: Entry) -> tuple[float, str]:
    taken = entry.manifest.created.timestamp() if entry.manifest else float("inf")
    return taken, str(entry.directory)


def _iter_directories(place: Path) -> Iterator[Path]:
    try:
        children = list(place.iterdir())
    except OSError as error:
        raise UsageError(f"{place}: {error.strerror}") from error
    if is_snapshot_directory(place):
        yield place
    else:
        yield from (child for child in children if is_snapshot_directory(child))


def _read_entry(directory: Path) -> Entry:
    if not is_finished(directory):
        problem = "it has no manifest"
        return Entry(directory=directory, state="unfinished", manifest=None, error=problem)
    try:
        manifest = read_manifest(directory)
    except VmstateError as error:
        state = _state_of(error)
        return Entry(directory=directory, state=state, manifest=None, error=str(error))
    problems = tuple(find_pairing_problems(directory, manifest))
    return Entry(directory=directory, state="finished", manifest=manifest, problems=problems)


def _state_of(error: VmstateError) -> State:
    match error:
        case FormatError():
            return "damaged"
        case UnsupportedError():
            return "unsupported"
    return "unreadable"
