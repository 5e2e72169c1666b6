"""The one door to construct: a declaration and a place in, a container out.

Headers are few and go through here. Hot loops (page records) use struct or numpy: construct
takes about 6 microseconds for what struct does in a tenth of one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from construct import ConstructError, StreamError

from vmstate_tools.core.errors import FormatError, TruncatedError

if TYPE_CHECKING:
    from construct import Construct

    from vmstate_tools.core.source import ByteSource

MAX_HEADER_BYTES = 4096
"""No declaration that goes through here is longer: names have one length byte."""


def parse_struct(declaration: Construct[Any, Any], source: ByteSource, offset: int) -> Any:  # noqa: ANN401
    """Parse `declaration` at `offset`.

    A pipe is not asked for more than the declaration needs: what follows may be seconds away.

    Raises:
        TruncatedError: the data ends inside it.
        FormatError: a value that the declaration forbids.
    """
    name = str(declaration.name or "header")
    window = source.window(offset, 0, name)[:MAX_HEADER_BYTES]
    while True:
        try:
            return declaration.parse(bytes(window))
        except StreamError as error:
            problem = "the data ends inside it"
            if len(window) == MAX_HEADER_BYTES:
                problem = f"it is longer than {MAX_HEADER_BYTES} bytes"
                raise _located(FormatError, problem, source, offset, name, error) from error
            if source.at_end(offset + len(window)):
                raise _located(TruncatedError, problem, source, offset, name, error) from error
            window = source.window(offset, len(window) + 1, name)[:MAX_HEADER_BYTES]
        except ConstructError as error:
            problem = str(error).splitlines()[-1].strip()
            raise _located(FormatError, problem, source, offset, name, error) from error


def _located(
    kind: type[FormatError],
    problem: str,
    source: ByteSource,
    offset: int,
    name: str,
    error: ConstructError,
) -> FormatError:
    # construct's path reads "(parsing) -> header -> version".
    member = (error.path or "").rpartition(" -> ")[2]
    field = name if member in {"", "(parsing)", name} else f"{name}.{member}"
    return kind(problem, source=source.name, offset=offset, field=field)
