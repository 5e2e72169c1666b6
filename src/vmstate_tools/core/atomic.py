"""Files that are there whole or not at all: temporary file, fsync, rename."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from vmstate_tools.core.errors import HostError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def atomic_write(path: Path, *, force: bool = False) -> Iterator[IO[bytes]]:
    """Give a file to write; when the block ends well it becomes `path`, otherwise it goes.

    Args:
        force: Replace `path` if it exists.

    Raises:
        UsageError: `path` exists, or its folder does not.
        HostError: writing failed (no space, an I/O error).
    """
    if path.exists() and not force:
        raise UsageError(f"{path}: exists already (--force replaces it)")
    try:
        file = tempfile.NamedTemporaryFile(  # noqa: SIM115 (closed below, by name)
            dir=path.parent, prefix=f".{path.name}.", suffix=".part", delete=False
        )
    except OSError as error:
        raise UsageError(f"{path.parent}: {error.strerror}") from error
    temporary = Path(file.name)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        publish(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise HostError(f"{path}: {error.strerror}") from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def publish(temporary: Path, path: Path) -> None:
    """Rename `temporary`, already synced, to `path`, and make the rename survive a crash."""
    temporary.chmod(0o666 & ~_umask())
    temporary.replace(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the entries of a directory survive a crash."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    # Reading the mask means setting it; 0o077 for that instant is the safe side.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
