"""How much is measured: enough for figures that can be quoted, or just enough to run at all."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """Sizes and repetitions."""

    qemu_count: int
    rounds: int
    """How often each way to save a VM has its turn."""
    snapshots_of_a_vm: int
    """The first one, and later ones."""
    guest_sizes_mib: tuple[int, ...]
    """In ascending order."""
    command_rounds: int
    """How often each program has its turn."""
    index_mib: int
    """Guest memory of the streams that are made up for the index."""
    linux: bool
    """Whether a Linux guest is inspected too, where it was prepared: it takes half a minute to
    fill its memory."""
    judged: bool
    """Whether the goals apply."""
    patience_seconds: float = 0
    """How long each turn waits for other programs to leave the machine alone."""


FULL = Effort(
    qemu_count=2,
    rounds=7,
    snapshots_of_a_vm=3,
    guest_sizes_mib=(256, 1024),
    command_rounds=15,
    index_mib=4096,
    linux=True,
    judged=True,
)
QUICK = Effort(
    qemu_count=1,
    rounds=1,
    snapshots_of_a_vm=2,
    guest_sizes_mib=(16,),
    command_rounds=1,
    index_mib=16,
    linux=False,
    judged=False,
)
