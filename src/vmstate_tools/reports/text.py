"""What every text report needs: names that cannot do harm, sizes for people, aligned columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
UNIT_STEP = 1024

Align = Literal["<", ">"]


def printable(text: str) -> str:
    """Return `text` with everything escaped that is not a visible character or a space.

    Names come from files of strangers: a raw escape sequence could rewrite the terminal.
    """
    if text.isprintable():
        return text
    return "".join(
        letter
        if letter.isprintable()
        else letter.encode("unicode_escape", "surrogatepass").decode()
        for letter in text
    )


def size_text(size_bytes: int) -> str:
    """Return a size as a person would say it: `128 MiB`, `1.3 GiB`, `512 bytes`."""
    value, unit = float(size_bytes), 0
    while value >= UNIT_STEP and unit < len(UNITS) - 1:
        value /= UNIT_STEP
        unit += 1
    digits = 0 if unit == 0 or value >= 100 or value == int(value) else 1  # noqa: PLR2004 (3 digits)
    return f"{value:.{digits}f} {UNITS[unit]}"


def seconds_text(seconds: float) -> str:
    """Return a span of time as a person would say it: `4.2 ms`, `1.6 s`."""
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"


def count_text(count: int, noun: str) -> str:
    """Return `1 page`, `73,802 pages`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def table(rows: Sequence[Sequence[str]], aligns: Sequence[Align], indent: int = 0) -> list[str]:
    """Align columns; a row may be shorter than the widest.

    Args:
        aligns: One for each column.
        indent: Spaces before every line.
    """
    widths = [
        max((len(row[column]) for row in rows if column < len(row)), default=0)
        for column in range(len(aligns))
    ]
    return [
        " " * indent
        + "  ".join(
            f"{cell:{align}{width}}"
            for cell, align, width in zip(row, aligns, widths, strict=False)
        ).rstrip()
        for row in rows
    ]
