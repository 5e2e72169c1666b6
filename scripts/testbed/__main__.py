"""Fill the cache folder of the tests, or find it filled."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from scripts.testbed import linux_guest, newer_qemu
from scripts.testbed.apt import PreparationError, PrivateApt


def cache_folder() -> Path:
    """Return the folder to fill: VMSTATE_TEST_CACHE, or one in the user's cache."""
    user_cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("VMSTATE_TEST_CACHE") or Path(user_cache) / "vmstate-tools")


def main() -> int:
    """Prepare all parts; where that cannot be done, CI fails and a laptop goes on without."""
    cache = cache_folder()
    try:
        cache.mkdir(parents=True, exist_ok=True)
        apt = PrivateApt(cache / "apt")
        newer_qemu.prepare(cache / "qemu-10", apt)
        linux_guest.prepare(cache / "linux-guest", apt)
    except (PreparationError, OSError) as error:
        print(f"test machines are not complete: {error}", file=sys.stderr)
        return 1 if os.environ.get("CI") else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
