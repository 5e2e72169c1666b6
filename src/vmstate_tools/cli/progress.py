"""A progress bar for people: on a terminal only, and only for what takes a while."""

from __future__ import annotations

import sys
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

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
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    tqdm = import_module("tqdm").tqdm  # 0.08 s that only a terminal has to pay
    with tqdm(
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
        yield bar.update


def total_bytes(snapshots: Iterable[Path]) -> int | None:
    """Sum up the sizes of what will be read, as far as a look at the paths tells."""
    total = 0
    for path in snapshots:
        with suppress(OSError):  # what is wrong with a path is for its reader to say
            files = path.glob("vmstate.*") if path.is_dir() else [path]
            total += sum(file.stat().st_size for file in files)
    return total or None
