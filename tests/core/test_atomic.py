from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from vmstate_tools.core.atomic import atomic_write
from vmstate_tools.core.errors import HostError, UsageError

if TYPE_CHECKING:
    from pathlib import Path


def test_the_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with atomic_write(path) as file:
        file.write(b"content")
        file.flush()
        assert not path.exists()
    assert path.read_bytes() == b"content"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_has_the_permissions_of_an_ordinary_new_file(tmp_path: Path) -> None:
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    with atomic_write(tmp_path / "out"):
        pass
    assert (tmp_path / "out").stat().st_mode == ordinary.stat().st_mode


def test_nothing_is_left_when_the_block_fails(tmp_path: Path) -> None:
    def write_half() -> None:
        with atomic_write(tmp_path / "out") as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_when_the_disk_is_full(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with pytest.raises(HostError, match="out: No space left"), atomic_write(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    with pytest.raises(UsageError, match="exists already"), atomic_write(path):
        pass
    assert path.read_bytes() == b"old"


def test_force_replaces_an_existing_file(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    with atomic_write(path, force=True) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


def test_a_missing_folder_is_a_usage_error(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "out"
    with pytest.raises(UsageError, match="missing: No such file"), atomic_write(path):
        pass
