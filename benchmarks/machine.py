"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING

from vmstate_tools import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vms import Qemu


def machine_facts(qemus: Iterable[Qemu]) -> dict[str, str]:
    """Return what tells one machine's figures from another's; no names of machines."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    one_minute, *_ = os.getloadavg()
    return {
        "vmstate-tools": __version__,
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory_bytes / (1 << 30):.0f} GiB",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "qemu": ", ".join(qemu.version for qemu in qemus) + " (TCG)",
        "load before": f"{one_minute:.1f} processes",
    }
