"""What a conversion has made of a snapshot, as text and JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vmstate_tools.reports.text import count_text, printable, size_text

SCHEMA = "vmstate/convert/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """A conversion that is done."""

    file: str
    output: str
    container: str
    source_bytes: int
    """Size of the state file that was read."""
    size_bytes: int
    repeated_pages: int
    """Page records that were left out because later ones replace them."""
    recovered_pages: int
    """Pages that were in the file, but not marked as being there."""


def as_text(done: Conversion) -> str:
    """Return a line or two."""
    lines = [f"{printable(done.output)}: {size_text(done.size_bytes)}, {_change_text(done)}"]
    if done.repeated_pages:
        lines[0] += f", without {count_text(done.repeated_pages, 'repeated page')}"
    if done.recovered_pages:
        found = count_text(done.recovered_pages, "page")
        lines.append(f"recovered {found} that QEMU had not marked as stored")
    return "\n".join(lines)


def _change_text(done: Conversion) -> str:
    percent = round(100 * (done.size_bytes / done.source_bytes - 1))
    if not percent:
        return "as large as before"
    return f"{abs(percent)} % {'larger' if percent > 0 else 'smaller'}"


def as_json(done: Conversion) -> dict[str, Any]:
    """Return the document of schema vmstate/convert/1."""
    return {
        "schema": SCHEMA,
        "file": done.file,
        "output": done.output,
        "to": done.container,
        "source_bytes": done.source_bytes,
        "bytes": done.size_bytes,
        "pages": {"repeated": done.repeated_pages, "recovered": done.recovered_pages},
    }
