"""Where the built-in guest keeps what: the constants of guest.S, which a test compares.

All numbers in the guest are little-endian.
"""

from __future__ import annotations

import struct

SECTOR_BYTES = 512
PAGE_BYTES = 4096

# The program, from the start of the boot disk; a BIOS puts it at this address.
PROGRAM_ADDRESS = 0x7C00

PARAMETERS_OFFSET = 0x08
PARAMETERS_MAGIC = b"VMSGUEST"
PARAMETERS = struct.Struct("<8s3I")
"""Magic, MiB of memory to dirty, pages between two waits for the timer, flags."""
FLAG_WRITE_DISKS = 1

FILL_RANGE_OFFSET = PARAMETERS_OFFSET + PARAMETERS.size
FILL_RANGE = struct.Struct("<2H")
"""Start and end of the code that writes a page: while EIP is in it, EDI is the next store."""

STATE_ADDRESS = 0x9000
STATE_MAGIC = b"VMSGSTAT"
STATE = struct.Struct("<8s2Q4I")
"""Magic, counter, completed, position, page count, start of the region, number of disks."""
DISKS_OFFSET = 0x40
DISK = struct.Struct("<2QI12x")
"""Counter being written, counter written, 0 or 0x100 + the BIOS error that ended it."""
MAX_DISKS = 4
STATE_BYTES = DISKS_OFFSET + MAX_DISKS * DISK.size

REGION_ADDRESS = 0x200000
REGION_LIMIT = 2 << 30
"""The region ends below: machine q35 has its RAM in one piece up to here, pc beyond."""
MAX_MEMORY_MIB = (REGION_LIMIT - REGION_ADDRESS) >> 20

# A page: every 512 bytes a line of 16 words (u32): counter (two words), page number, filler.
LINES = 8
LINE_WORDS = 16
STRIDE_WORDS = 128
FILLER_WORDS = 13
FILLER_STEP = 0x9E3779B9
COUNTER_FACTOR = 0x85EBCA6B
PAGE_FACTOR = 0xC2B2AE35

# A disk: one sector, in a qcow2 cluster of its own.
COUNTER_SECTOR = 128
DISK_MAGIC = b"VMSGDISK"
DISK_SECTOR = struct.Struct("<8sQB")
"""Magic, counter, BIOS drive number (FIRST_DRIVE is the first disk)."""
FIRST_DRIVE = 0x80
