"""What an edit has changed, as text and JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from vmstate_tools.reports.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vmstate_tools.device.values import PlainValue
    from vmstate_tools.snapshot.edit import Edit

SCHEMA = "vmstate/edit/1"
MAX_SHOWN = 60
"""Characters of a value; whoever sets a longer one has it already."""


def as_text(edits: Iterable[Edit]) -> str:
    """Return one line for each field: what it was, and what it is."""
    return "\n".join(
        f"{printable(edit.field)}: {_shown(edit.before)} -> {_shown(edit.after)}" for edit in edits
    )


def as_json(edits: Iterable[Edit], file: str, output: str, size_bytes: int) -> dict[str, Any]:
    """Return the document of schema vmstate/edit/1."""
    return {
        "schema": SCHEMA,
        "file": file,
        "output": output,
        "bytes": size_bytes,
        "fields": [
            {"name": edit.field, "before": edit.before, "after": edit.after} for edit in edits
        ],
    }


def _shown(value: PlainValue) -> str:
    text = printable(value) if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"
