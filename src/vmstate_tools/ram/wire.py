"""The payload of the `ram` section, as declarations. Big-endian, no padding.

QEMU 10.0.2 migration/ram.c; flags 0x040 and 0x100 as in 7.2.
"""

from __future__ import annotations

from enum import IntFlag
from struct import Struct as Packed

from construct import Int8ub, Int32ub, Int64ub, PascalString, Struct, Tell

VERSION = 4


class Flag(IntFlag):
    """RAM_SAVE_FLAG_*: the low bits of a record's first word; the rest is an address or size."""

    FULL = 0x001  # not written since 2009
    ZERO = 0x002
    MEM_SIZE = 0x004
    PAGE = 0x008
    EOS = 0x010
    CONTINUE = 0x020
    XBZRLE = 0x040
    HOOK = 0x080
    COMPRESS_PAGE = 0x100  # removed in 9.1
    MULTIFD_FLUSH = 0x200  # since 8.1


WORD = Packed(">Q")

# Behind the word and name of a page record, before so many bytes. Migrations of before 9.1.
COMPRESSED_LENGTH = Packed(">I")
PATCH_HEADER = Packed(">BH")  # method, length of what save_xbzrle_page() writes
PATCH_METHOD = 1  # ENCODING_FLAG_XBZRLE

# ram_save_setup(), after a word with MEM_SIZE that holds the sum of the lengths.
BLOCK = "ram.block" / Struct(
    "name" / PascalString(Int8ub, "latin-1"),
    "size" / Int64ub,
    "end" / Tell,
)
# Only where a block has pages of another size than the host and the source may use postcopy.
BLOCK_PAGE_SIZE = "ram.block.page_size" / Int64ub
# Only with the capability x-ignore-shared.
BLOCK_ADDRESS = "ram.block.address" / Int64ub

# mapped_ram_setup_ramblock(), only with the capability mapped-ram (since 9.0).
MAPPED_HEADER = "ram.block.mapped" / Struct(
    "version" / Int32ub,
    "page_size" / Int64ub,
    "bitmap_offset" / Int64ub,  # both count from the beginning of the file
    "pages_offset" / Int64ub,
)
MAPPED_VERSION = 1

# postcopy_chunk_hostpages() and qemu_savevm_send_postcopy_ram_discard(): pairs of 64-bit start and
# length follow to the end of the command.
DISCARD = "discard" / Struct(
    "version" / Int8ub,
    "block" / PascalString(Int8ub, "latin-1"),
    "nul" / Int8ub,
    "size" / Tell,
)
DISCARD_VERSION = 0
DISCARD_RANGE_BYTES = 16
