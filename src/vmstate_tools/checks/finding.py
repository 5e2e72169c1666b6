"""What checks look at, and what they find."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmstate_tools.snapshot.open import Snapshot


class Severity(StrEnum):
    """How bad it is."""

    ERROR = "error"
    """A restore fails, or restores something else than was saved."""
    WARNING = "warning"
    """Odd, or not to be checked; a restore may well work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a check has found."""

    check: str
    """Name of the check, as in docs/checks.md."""
    severity: Severity
    message: str
    """What is wrong, what was expected; one line, names in it not escaped."""
    offset: int | None = None
    """Absolute byte offset in the state file, where one place is at fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a check may look at."""

    snapshot: Snapshot
    sha256: str | None
    """Of the whole state file, as it was read; None where no manifest states one."""
