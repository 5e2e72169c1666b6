"""The framing of a migration stream, as declarations. Big-endian, no padding.

QEMU 10.0.2 migration/savevm.c unless another place is named.
"""

from __future__ import annotations

from struct import Struct as Packed

from construct import Bytes, Int8ub, Int16ub, Int32ub, Int64ub, PascalString, Struct, Tell

MAGIC = 0x5145564D  # "QEVM"
VERSION = 3
OBSOLETE_VERSION = 2

# Section types that are not a SectionKind (migration/savevm.h).
EOF = 0x00
SUBSECTION = 0x05
DESCRIPTION = 0x06
CONFIGURATION = 0x07
COMMAND = 0x08
FOOTER = 0x7E

# idstr and RAMBlock.idstr are char[256] in QEMU and never leave ASCII; latin-1 can show any byte.
NAME = PascalString(Int8ub, "latin-1")

HEADER = "header" / Struct(
    "magic" / Int32ub,
    "version" / Int32ub,
)

# vmstate_configuration, after the type byte; the name of the machine follows.
CONFIGURATION_LENGTH = "configuration" / Int32ub

# vmstate_subsection_save() in migration/vmstate.c, after the type byte.
SUBSECTION_HEADER = "configuration subsection" / Struct(
    "name" / NAME,
    "version" / Int32ub,
    "size" / Tell,
)
SUBSECTION_PAGE_BITS = "configuration/target-page-bits"
SUBSECTION_CAPABILITIES = "configuration/capabilities"
SUBSECTION_UUID = "configuration/uuid"
PAGE_BITS = SUBSECTION_PAGE_BITS / Int32ub
CAPABILITY_COUNT = SUBSECTION_CAPABILITIES / Int32ub
CAPABILITY = "capability" / Struct(
    "name" / NAME,
    "size" / Tell,
)
UUID = SUBSECTION_UUID / Bytes(16)

# save_section_header() for START and FULL, after the type byte.
SECTION_HEADER = "section header" / Struct(
    "section_id" / Int32ub,
    "idstr" / NAME,
    "instance_id" / Int32ub,
    "version_id" / Int32ub,
    "size" / Tell,
)

# qemu_savevm_command_send(), after the type byte.
COMMAND_HEADER = "command" / Struct(
    "code" / Int16ub,
    "length" / Int16ub,
)
# As qemu_savevm_send_postcopy_advise() writes it.
POSTCOPY_ADVISE = "postcopy advise" / Struct(
    "block_page_sizes" / Int64ub,
    "target_page_size" / Int64ub,
)
PACKAGED_LENGTH = "packaged stream" / Int32ub

# qemu_savevm_state_complete_precopy_non_iterable(), after the type byte; the JSON text follows.
DESCRIPTION_LENGTH = "description" / Int32ub

# A stream may hold tens of thousands of PARTs, so these two bypass construct.
PART_HEADER = Packed(">I")  # section_id, after the type byte
FOOTER_RECORD = Packed(">BI")  # FOOTER, section_id
