"""A progress bar for people: on a terminal only, and only for what takes a while."""

from __future__ import annotations

import sys
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Never

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from tqdm import tqdm

DELAY_SECONDS = 1.0
"""What is done by then needs no bar."""


@contextmanager
def progress(
    title: str, total_bytes: int | None, *, quiet: bool
) -> Iterator[Callable[[int], object]]:
    """Show bytes, rate and time left on stderr until the block ends.

    Args:
        title: What is being done, in a word or two.
        total_bytes: How much there is to do; None when nobody knows.
        quiet: Show nothing.

    Yields:
        A function to call with the number of bytes done since the last call.
    """
    with _bar(title, total_bytes, quiet=quiet) as bar:
        yield (lambda _: None) if bar is None else bar.update


@contextmanager
def progress_towards(title: str, *, quiet: bool) -> Iterator[Callable[[int, int], object]]:
    """Show the same where the total is known only later.

    Yields:
        A function to call with the number of bytes done so far, and in all.
    """
    with _bar(title, None, quiet=quiet) as bar:

        def move_to(done_bytes: int, all_bytes: int) -> None:
            if bar is not None and all_bytes:
                bar.total = all_bytes
                bar.update(done_bytes - bar.n)

        yield move_to


@contextmanager
def _bar(title: str, total_bytes: int | None, *, quiet: bool) -> Iterator[tqdm[Never] | None]:
    """Open a bar, or nothing where nobody would look at it."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    # 0.08 s that only a terminal has to pay
    with import_module("tqdm").tqdm(
        total=total_bytes,
        desc=title,
        unit="B",
        unit_scale=True,
        unit_divisor=1024,
        delay=DELAY_SECONDS,
        leave=False,
        dynamic_ncols=True,
        file=sys.stderr,
    ) as bar:
        yield bar


def total_bytes(snapshots: Iterable[Path]) -> int | None:
    """Sum up the sizes of what will be read, as far as a look at the paths tells."""
    total = 0
    for path in snapshots:
        with suppress(OSError):  # what is wrong with a path is for its reader to say
            files = path.glob("vmstate.*") if path.is_dir() else [path]
            total += sum(file.stat().st_size for file in files)
    return total or None
