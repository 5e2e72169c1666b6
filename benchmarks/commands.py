"""Programs that are measured as a whole, from their start to their end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

ENVIRONMENT = {
    name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
}
"""Installed programs have their bytecode; it is written when they first run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a program took from start to end, in seconds."""

    wall: float
    cpu: float
    """User and system time; other programs on the machine disturb it less."""


def vmstate_command(*arguments: str | Path) -> list[str]:
    """Return the command line of the installed `vmstate`."""
    return [str(Path(sys.executable).with_name("vmstate")), *map(str, arguments)]


def python_command(*arguments: str | Path) -> list[str]:
    """Return the command line of the same Python."""
    return [sys.executable, *map(str, arguments)]


def run_to_end(command: Sequence[str]) -> Run:
    """Run a program and measure it.

    Raises:
        CalledProcessError: it failed.
    """
    before = os.times()
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, env=ENVIRONMENT, check=True)
    wall = time.perf_counter() - start
    after = os.times()
    cpu = sum(after[2:4]) - sum(before[2:4])  # of children that were waited for
    return Run(wall=wall, cpu=cpu)


def output_of(command: Sequence[str]) -> bytes:
    """Run a program from the project's folder; return what it prints.

    Raises:
        CalledProcessError: it failed.
    """
    done = subprocess.run(command, stdout=subprocess.PIPE, env=ENVIRONMENT, cwd=ROOT, check=True)
    return done.stdout


def explain(runs: Sequence[Run]) -> str:
    """Say what the processors did of it."""
    return f"processor time {median(run.cpu for run in runs):.3f}"
