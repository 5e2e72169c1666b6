"""Start a QEMU that goes on after us, notice at once when it dies, and stop one by its id."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from vmstate_tools.core.errors import HostError, QemuError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TAIL_BYTES = 16384
"""How much of QEMU's stderr is looked at: some screens full."""

TAIL_LINES = 4
"""QEMU explains a failure in one to three lines, the last of which is the most general."""

STOP_SECONDS = 10.0
"""On SIGTERM, QEMU flushes its disks and ends."""

_PREFIX = re.compile(r"^(?:\S+Z )?(?:guest=\S+ )?\S*qemu\S*: ")


class _Outliving(subprocess.Popen[bytes]):
    """A process that is meant to go on when we let go of it, of which its base class warns."""

    def __del__(self) -> None:
        """Leave it running."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QemuProcess:
    """A QEMU that we started.

    Attributes:
        stderr: File with what it complains about.
        stdout: File with what it prints: the guest's console, with `-nographic`.
    """

    popen: subprocess.Popen[bytes]
    stderr: Path
    stdout: Path

    @classmethod
    def start(cls, argv: Sequence[str], *, directory: Path, working_directory: Path) -> Self:
        """Start QEMU in a session of its own, so that it outlives us and our terminal.

        Args:
            argv: The command line, the binary first.
            directory: Where `qemu.stderr` and `qemu.stdout` are written.
            working_directory: What relative names on the command line start from.

        Raises:
            UsageError: there is no such binary or working directory.
            HostError: it cannot be run.
        """
        stderr, stdout = directory / "qemu.stderr", directory / "qemu.stdout"
        try:
            with stderr.open("xb") as errors, stdout.open("xb") as output:
                popen = _Outliving(
                    list(argv),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=errors,
                    cwd=working_directory,
                    start_new_session=True,
                )
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UsageError(f"{error.filename}: {error.strerror}") from error
        except (OSError, ValueError) as error:
            raise HostError(f"{argv[0]}: cannot be started: {error}") from error
        return cls(popen=popen, stderr=stderr, stdout=stdout)

    @property
    def process_id(self) -> int:
        """Process id."""
        return self.popen.pid

    def check_alive(self) -> None:
        """Raise when it has ended.

        Raises:
            QemuError: it has; the message holds what it said last.
        """
        code = self.popen.poll()
        if code is None:
            return
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        said = "; ".join(self.last_words())
        raise QemuError(f"QEMU ended {how}: {said}" if said else f"QEMU ended {how}")

    def last_words(self) -> list[str]:
        """Return the last lines of its stderr, without the program's name."""
        with self.stderr.open("rb") as file:
            file.seek(max(0, self.stderr.stat().st_size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
        lines = [_PREFIX.sub("", line.strip()) for line in text.splitlines()]
        warnings = ("warning: ", "info: ")
        return [line for line in lines if line and not line.startswith(warnings)][-TAIL_LINES:]

    def kill(self) -> None:
        """End it at once and wait until it is gone."""
        self.popen.kill()
        self.popen.wait()


def stop_process(process_id: int, *, wait_seconds: float = STOP_SECONDS) -> None:
    """End a process by SIGTERM, or by SIGKILL when that does not help; wait until it is gone.

    A process that is gone already is none of our worries.

    Raises:
        HostError: it is not ours to end.
    """
    try:
        descriptor = os.pidfd_open(process_id)
    except ProcessLookupError:
        return
    try:
        ended = select.poll()
        ended.register(descriptor, select.POLLIN)
        for number in (signal.SIGTERM, signal.SIGKILL):
            signal.pidfd_send_signal(descriptor, number)
            if ended.poll(wait_seconds * 1000):
                return
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise HostError(f"process {process_id}: {error.strerror}") from error
    finally:
        os.close(descriptor)
