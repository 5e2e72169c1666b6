"""What a file is, by its first bytes: one table.

Suffixes say nothing, and what we cannot read is worth a name too: the user then knows that
nothing is wrong with the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmstate_tools.core.errors import FormatError, UnsupportedError

if TYPE_CHECKING:
    from vmstate_tools.core.source import ByteSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A kind of file that a VM's state, memory or disk comes in."""

    magic: bytes
    offset: int = 0
    title: str
    """What it is, as a sentence would say it."""
    hint: str = ""
    """What the user can do about it."""


STREAM = Container(magic=b"QEVM", title="a migration stream")

UNPACK = "unpack it first"

# QEMU 10.0.2: migration/, block/qcow2.h, include/system/dump.h; libvirt: src/qemu/
# qemu_saveimage.h; the compressors' own specifications; LiME: doc/README.md.
CONTAINERS = (
    STREAM,
    Container(magic=b"LibvirtQemudSave", title="a libvirt save image"),
    Container(magic=b"LibvirtQemudPart", title="a libvirt save image that was not finished"),
    Container(
        magic=b"QFI\xfb",
        title="a qcow2 disk image",
        hint="internal snapshots are not read; the state file of an external one is",
    ),
    Container(magic=b"\x28\xb5\x2f\xfd", title="compressed with zstd", hint=UNPACK),
    Container(magic=b"\x1f\x8b", title="compressed with gzip", hint=UNPACK),
    Container(magic=b"\xfd7zXZ\0", title="compressed with xz", hint=UNPACK),
    Container(magic=b"BZh", title="compressed with bzip2", hint=UNPACK),
    Container(magic=b"\x04\x22\x4d\x18", title="compressed with lz4", hint=UNPACK),
    Container(magic=b"\x89LZO\0\r\n\x1a\n", title="compressed with lzop", hint=UNPACK),
    Container(magic=b"PK\x03\x04", title="a zip archive", hint=UNPACK),
    Container(magic=b"ustar", offset=257, title="a tar archive", hint=UNPACK),
    Container(magic=b"\x7fELF", title="an ELF file, perhaps a memory dump"),
    Container(magic=b"makedumpfile\0", title="a memory dump in flattened kdump form"),
    Container(magic=b"KDUMP   ", title="a memory dump in kdump form"),
    Container(magic=b"EMiL", title="a LiME memory image"),
    Container(magic=b"\x11\x22\x33\x44", title="the extra channel of a multifd migration"),
    Container(
        magic=b'{\n  "schema": "vmstate/manifest/',
        title="the manifest of a snapshot",
        hint="give the directory that it is in",
    ),
)

HEAD_BYTES = max(container.offset + len(container.magic) for container in CONTAINERS)
SHOWN_BYTES = 8


def detect_container(source: ByteSource) -> Container:
    """Return what the source begins like.

    Raises:
        FormatError: it is empty, or nothing that we know by name.
    """
    source.at_end(HEAD_BYTES - 1)  # makes a pipe fetch so many bytes, if it has them
    head = bytes(source.window(0, 0, "magic")[:HEAD_BYTES])
    for container in CONTAINERS:
        if head[container.offset :].startswith(container.magic):
            return container
    if not head:
        raise FormatError("the file is empty", source=source.name)
    if STREAM.magic.startswith(head):
        return STREAM  # cut off so early that only its reader can say where
    shown = head[:SHOWN_BYTES].hex(" ")
    problem = f"not a state file: it begins with {shown} (expected {STREAM.magic.hex(' ')})"
    raise FormatError(problem, source=source.name, offset=0, field="magic")


def require_stream(source: ByteSource) -> None:
    """Make sure that the source is a migration stream by its first bytes.

    Raises:
        UnsupportedError: it is something else that we know by name.
        FormatError: it is empty, or nothing that we know.
    """
    container = detect_container(source)
    if container is not STREAM:
        hint = f"; {container.hint}" if container.hint else ""
        problem = f"this is {container.title}, which this version does not read{hint}"
        raise UnsupportedError(problem, source=source.name)
