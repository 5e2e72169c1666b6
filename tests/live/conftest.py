from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class SmallFolder(Protocol):
    """Mounts a file system of so many MiB."""

    def __call__(self, mib: int) -> Path: ...


@pytest.fixture
def small_folder(tmp_path: Path) -> Iterator[SmallFolder]:
    """A file system that is soon full."""
    if os.geteuid():
        pytest.skip("only root may mount a file system")
    folder = tmp_path / "small"

    def mount(mib: int) -> Path:
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", folder], check=True)
        return folder

    yield mount
    # Lazily: a VM that is ended later may have files open there.
    subprocess.run(["umount", "-l", folder], check=True)
