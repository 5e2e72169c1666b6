"""A progress bar for people: on a terminal only, and only for what takes a while."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
