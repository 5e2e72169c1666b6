"""Writes payloads of handlers beside `ram`, every field overridable.

Written from the layouts in QEMU (migration/block.c of 7.2, and of 10.0.2 block-dirty-bitmap.c,
spapr.c, s390-stattrib.c, s390-skeys.c, tod.c, vfio/migration.c), sharing nothing with the readers.
"""

from __future__ import annotations

from builders.stream import be16, be32, be64, str8

BLOCK_BYTES = 1 << 20
VFIO_TAG = 0xFFFFFFFF_EF100000
VFIO_END, VFIO_CONFIG, VFIO_SETUP, VFIO_DATA, VFIO_INIT_SENT = range(VFIO_TAG + 1, VFIO_TAG + 6)

# block


def block(sector: int = 0, *, disk: str = "disk0", data: bytes = bytes(BLOCK_BYTES)) -> bytes:
    return be64(sector << 9 | 1) + str8(disk) + data


def block_zero(sector: int = 0, *, disk: str = "disk0") -> bytes:
    return be64(sector << 9 | 9) + str8(disk)


def block_progress(percent: int = 50) -> bytes:
    return be64(percent << 9 | 4)


def block_eos() -> bytes:
    return be64(2)


# dirty-bitmap


def bitmap_record(
    flags: int, body: bytes = b"", *, node: str | None = None, name: str | None = None
) -> bytes:
    flags |= (8 if node is not None else 0) | (4 if name is not None else 0)
    names = b"".join(str8(text) for text in (node, name) if text is not None)
    return bytes([flags]) + names + body


def bitmap_start(
    granularity: int = 65536,
    *,
    flags: int = 1,
    node: str | None = "disk0",
    name: str | None = "bitmap0",
) -> bytes:
    return bitmap_record(0x10, be32(granularity) + bytes([flags]), node=node, name=name)


def bitmap_bits(
    data: bytes = bytes(32),
    *,
    sector: int = 0,
    sector_count: int = 2048,
    length: int | None = None,
    node: str | None = None,
    name: str | None = None,
) -> bytes:
    size = len(data) if length is None else length
    body = be64(sector) + be32(sector_count) + be64(size) + data
    return bitmap_record(0x40, body, node=node, name=name)


def bitmap_zeroes(
    *,
    sector: int = 0,
    sector_count: int = 2048,
    node: str | None = None,
    name: str | None = None,
) -> bytes:
    return bitmap_record(0x42, be64(sector) + be32(sector_count), node=node, name=name)


def bitmap_complete(*, node: str | None = None, name: str | None = None) -> bytes:
    return bitmap_record(0x20, node=node, name=name)


def bitmap_eos() -> bytes:
    return b"\x01"


# spapr/htab


def hash_table(shift: int = 18) -> bytes:
    return be32(shift)


def hash_run(
    first: int = 0, entries: bytes = b"", *, stored: int | None = None, invalid: int = 0
) -> bytes:
    count = len(entries) // 16 if stored is None else stored
    return be32(first) + be16(count) + be16(invalid) + entries


def hash_runs(*runs: bytes) -> bytes:
    return be32(0) + b"".join(runs) + bytes(8)


# s390x


def s390_bytes(data: bytes, *, address: int = 0, count: int | None = None) -> bytes:
    """Storage attributes or storage keys, one byte for each page."""
    return be64(address | 2) + be64(len(data) if count is None else count) + data


def s390_eos() -> bytes:
    return be64(1)


def s390_error() -> bytes:
    return be64(4)


def attributes_done() -> bytes:
    return be64(8)


def clock(high: int = 0, low: int = 0) -> bytes:
    return b"\x01" + bytes([high]) + be64(low)


# vfio


def vfio_setup() -> bytes:
    return be64(VFIO_SETUP)


def vfio_data(data: bytes = b"", *, length: int | None = None) -> bytes:
    return be64(VFIO_DATA) + be64(len(data) if length is None else length) + data


def vfio_end() -> bytes:
    return be64(VFIO_END)
