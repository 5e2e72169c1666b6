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

    Raises:
        TruncatedError: the data ends inside it.
        FormatError: a value that the declaration forbids.
    """
    name = str(declaration.name or "header")
    window = source.window(offset, 0, name)
    if len(window) < MAX_HEADER_BYTES and not source.at_end(offset + MAX_HEADER_BYTES - 1):
        window = source.window(offset, MAX_HEADER_BYTES, name)
    try:
        return declaration.parse(bytes(window[:MAX_HEADER_BYTES]))
    except StreamError as error:
        problem = "the data ends too early"
        raise TruncatedError(problem, source=source.name, offset=offset, field=name) from error
    except ConstructError as error:
        problem = str(error).splitlines()[0]
        raise FormatError(problem, source=source.name, offset=offset, field=name) from error
