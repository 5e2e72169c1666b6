"""The error tree. Each branch has one exit code; the command line is its only reader."""

from typing import ClassVar


class VmstateError(Exception):
    """Anything that we can explain to the user in one line."""

    exit_code: ClassVar[int] = 1


class UsageError(VmstateError):
    """The request cannot be carried out as it stands: no such file, output exists."""

    exit_code: ClassVar[int] = 2


class LocatedError(VmstateError):
    """Something is wrong at a place in a file.

    Attributes:
        source: Name of the file or stream.
        offset: Absolute byte offset in it, or None when no single place is at fault.
        field: What was being read there, in the format's own words, or None.
        problem: What is wrong, without the place.
    """

    def __init__(
        self, problem: str, *, source: str, offset: int | None = None, field: str | None = None
    ) -> None:
        self.problem = problem
        self.source = source
        self.offset = offset
        self.field = field
        place = "" if offset is None else f" byte {offset:#x}"
        what = "" if field is None else f" ({field})"
        super().__init__(f"{source}:{place}{what}{':' if place or what else ''} {problem}")


class FormatError(LocatedError):
    """The input is damaged."""

    exit_code: ClassVar[int] = 3


class TruncatedError(FormatError, EOFError):
    """The data ended too early."""


class UnsupportedError(LocatedError):
    """The input is sound as far as we can see, but of a kind that we do not read."""

    exit_code: ClassVar[int] = 4


class HostError(VmstateError):
    """The host failed us: no space, no permission, a broken pipe, an I/O error."""

    exit_code: ClassVar[int] = 5


class QemuError(HostError):
    """QEMU refused, failed or died. The message holds what it said."""
