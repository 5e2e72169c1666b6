"""Waits until other programs leave the processors alone."""

from __future__ import annotations

import time
from pathlib import Path

LOOK_SECONDS = 0.25
BUSY_CORES = 0.3
"""Less than this counts as quiet."""

TICKS_PER_SECOND = 100
"""Unit of /proc/stat on every Linux that Python runs on (USER_HZ)."""

IDLE_FIELDS = slice(4, 6)  # `idle` and `iowait`, after `cpu`, `user`, `nice` and `system`


def wait_for_quiet(patience_seconds: float) -> None:
    """Wait until the machine is quiet, or patience ends."""
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline:
        before, start = _busy_ticks(), time.monotonic()
        time.sleep(LOOK_SECONDS)
        busy = (_busy_ticks() - before) / TICKS_PER_SECOND / (time.monotonic() - start)
        if busy < BUSY_CORES:
            return


def _busy_ticks() -> int:
    words = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()
    return sum(map(int, words[1:9])) - sum(map(int, words[IDLE_FIELDS]))
