"""Writes an initramfs: a cpio archive of the kind `newc`.

Layout: Linux 6.1 Documentation/driver-api/early-userspace/buffer-format.rst.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

END_NAME = "TRAILER!!!"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A file or directory, owned by root."""

    name: str
    """Path from the root, without a leading slash."""
    mode: int
    """Type and permission bits."""
    data: bytes = b""


def directory(name: str) -> Entry:
    """Make a directory."""
    return Entry(name=name, mode=stat.S_IFDIR | 0o755)


def regular_file(name: str, data: bytes, *, executable: bool = False) -> Entry:
    """Make a file."""
    return Entry(name=name, mode=stat.S_IFREG | (0o755 if executable else 0o644), data=data)


def write_initramfs(entries: Iterable[Entry]) -> bytes:
    """Return the archive, byte for byte the same for the same entries."""
    records = [_record(number, entry) for number, entry in enumerate(entries, start=1)]
    return b"".join([*records, _record(0, Entry(name=END_NAME, mode=0))])


def _record(inode: int, entry: Entry) -> bytes:
    name = entry.name.encode() + b"\0"
    links = 1
    # inode, mode, uid, gid, links, mtime, size, device (2), rdevice (2), length of name, checksum
    numbers = (inode, entry.mode, 0, 0, links, 0, len(entry.data), 0, 0, 0, 0, len(name), 0)
    header = b"070701" + b"".join(b"%08x" % number for number in numbers)
    return _padded(header + name) + _padded(entry.data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
