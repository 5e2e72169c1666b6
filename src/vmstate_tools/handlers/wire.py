"""The payloads of handlers beside `ram`, as declarations. Big-endian, no padding.

They bypass construct: a stopped guest with dirty bitmaps writes tens of thousands of PARTs.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from struct import Struct as Packed

BYTE = Packed(">B")
WORD = Packed(">Q")
"""A record's first word, where the low bits are flags; a count; a tag."""


class BlockFlag(IntFlag):
    """BLK_MIG_FLAG_*: the low 9 bits of a word. QEMU 7.2 migration/block.c, gone in 9.1."""

    DEVICE_BLOCK = 0x01
    EOS = 0x02
    PROGRESS = 0x04
    ZERO_BLOCK = 0x08


BLOCK_FLAG_MASK = 0x1FF
BLOCK_BYTES = 1 << 20
"""BLK_MIG_BLOCK_SIZE: always whole, even behind the end of the disk."""


class BitmapFlag(IntFlag):
    """DIRTY_BITMAP_MIG_FLAG_*. QEMU 10.0.2 migration/block-dirty-bitmap.c."""

    EOS = 0x01
    ZEROES = 0x02
    BITMAP_NAME = 0x04
    DEVICE_NAME = 0x08
    START = 0x10
    COMPLETE = 0x20
    BITS = 0x40
    EXTRA_FLAGS = 0x80  # three more bytes of flags, none of which exists


class BitmapStartFlag(IntFlag):
    """DIRTY_BITMAP_MIG_START_FLAG_*, the last byte of a START record."""

    ENABLED = 0x01
    PERSISTENT = 0x02
    AUTOLOAD = 0x04


# The comment at the top of that file says that granularity has 8 bytes; the code writes 4.
BITMAP_START = Packed(">IB")  # granularity in bytes, BitmapStartFlag
BITMAP_BITS = Packed(">QI")  # first sector, number of sectors; without ZEROES, WORD and bytes

# htab_save_setup(), htab_save_iterate() in QEMU 10.0.2 hw/ppc/spapr.c.
HASH_TABLE_HEADER = Packed(">I")  # log2 of the size in bytes, NO_HASH_TABLE, or 0: runs follow
HASH_TABLE_RUN = Packed(">IHH")  # first entry, entries that follow, entries that are invalid
NO_HASH_TABLE = 0xFFFFFFFF
HASH_ENTRY_BYTES = 16  # HASH_PTE_SIZE_64
HASH_TABLE_SHIFTS = range(18, 47)  # as h_resize_hpt_prepare() allows them


class AttributesFlag(IntEnum):
    """STATTR_FLAG_*: the low 12 bits of a word. QEMU 10.0.2 hw/s390x/s390-stattrib.c."""

    EOS = 0x01
    MORE = 0x02
    ERROR = 0x04
    DONE = 0x08


class KeysFlag(IntEnum):
    """S390_SKEYS_SAVE_FLAG_*: the low 12 bits. QEMU 10.0.2 hw/s390x/s390-skeys.c."""

    EOS = 0x01
    SKEYS = 0x02
    ERROR = 0x04


S390_FLAG_MASK = 0xFFF  # target pages of s390x have 4 KiB

# s390_tod_save() in QEMU 10.0.2 hw/s390x/tod.c.
CLOCK_MISSING = 0
CLOCK_PRESENT = 1
CLOCK = Packed(">BQ")  # the high byte of a 72-bit value and the low 64 bits


class VfioTag(IntEnum):
    """VFIO_MIG_FLAG_*. QEMU 10.0.2 hw/vfio/migration.c; the same since 5.2."""

    END_OF_STATE = 0xFFFFFFFFEF100001
    CONFIG_STATE = 0xFFFFFFFFEF100002
    SETUP_STATE = 0xFFFFFFFFEF100003
    DATA_STATE = 0xFFFFFFFFEF100004
    INIT_DATA_SENT = 0xFFFFFFFFEF100005
