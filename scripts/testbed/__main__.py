"""Fill the cache folder of the tests, or find it filled."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from scripts.testbed import linux_guest, newer_qemu
from scripts.testbed.apt import PreparationError, PrivateApt

PARTS = {"qemu-10": newer_qemu.prepare, "linux-guest": linux_guest.prepare}


def cache_folder() -> Path:
    """Return the folder to fill: VMSTATE_TEST_CACHE, or one in the user's cache."""
    user_cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("VMSTATE_TEST_CACHE") or Path(user_cache) / "vmstate-tools")


def main() -> int:
    """Prepare all parts; where one cannot be had, CI fails and a laptop goes on without it."""
    cache = cache_folder()
    apt = PrivateApt(cache / "apt")
    complete = True
    for name, prepare in PARTS.items():
        try:
            cache.mkdir(parents=True, exist_ok=True)
            prepare(cache / name, apt)
        except (PreparationError, OSError) as error:
            print(f"{cache / name} is missing: {error}", file=sys.stderr)
            complete = False
    return 0 if complete or not os.environ.get("CI") else 1


if __name__ == "__main__":
    sys.exit(main())
