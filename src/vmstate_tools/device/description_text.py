"""A description to the text that it was parsed from, spaced as QEMU does it."""

from __future__ import annotations

import json


def to_text(value: object) -> str:
    """Return JSON text of what description_json.parse_json() has returned.

    Objects are tuples of pairs there, because keys may repeat.
    """
    if isinstance(value, tuple):
        members = (f"{json.dumps(key)}: {to_text(member)}" for key, member in value)
        return "{" + ", ".join(members) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(to_text, value)) + "]"
    return json.dumps(value)
