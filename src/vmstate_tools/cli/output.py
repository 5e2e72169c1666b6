"""Where a command writes a stream to: a file that is there whole or not at all, or stdout."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from vmstate_tools.core.atomic import atomic_write
from vmstate_tools.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def refuse_json_beside_stream(path: Path, *, json_output: bool) -> None:
    """Make sure that a stream and a document do not go to the same place.

    Raises:
        UsageError: they would.
    """
    if str(path) == "-" and json_output:
        raise UsageError("standard output is for the stream, so it cannot have JSON too")


@contextmanager
def open_output(path: Path, *, force: bool) -> Iterator[IO[bytes]]:
    """Give a file to write.

    Args:
        path: `-` is standard output.
        force: Replace `path` if it exists.

    Raises:
        UsageError: `path` exists, or its folder does not.
        HostError: writing failed.
    """
    if str(path) != "-":
        with atomic_write(path, force=force) as file:
            yield file
        return
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()
