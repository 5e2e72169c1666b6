"""What a restore is going to do: state, disks and command line, before anything is made.

Whatever the mode, a restored VM has a run directory of its own for its overlays, its QMP socket
and what the recorded command line would write elsewhere. The snapshot is only read.
"""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vmstate_tools.containers.detect import require_stream
from vmstate_tools.core.errors import FormatError, UnsupportedError, UsageError
from vmstate_tools.core.source import FileSource
from vmstate_tools.qemu.cmdline import adapt_given, adapt_recorded, with_start
from vmstate_tools.qemu.images import FreshDisk
from vmstate_tools.qemu.options import CommandLine
from vmstate_tools.qemu.outputs import Places
from vmstate_tools.snapshot.manifest import Disk, Manifest, is_file_path, read_manifest
from vmstate_tools.snapshot.pairing import find_pairing_problems
from vmstate_tools.stream.preamble import read_preamble

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_SOCKET_PATH_BYTES = 107
"""sun_path of a Unix socket has 108 bytes, the last of which is NUL."""

SOCKET_NAME_BYTES = 40
"""Room for the names of sockets in a folder: character devices have ids like `charchannel0`."""

QMP_NAME = "qmp.sock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the user asked for."""

    snapshot: Path
    """A snapshot directory, or a state file."""
    argv: Sequence[str] | None = None
    """A whole QEMU command line, the binary first; None for the recorded one."""
    directory: Path | None = None
    """A new folder for the run; None for one beside the snapshot."""
    qmp_socket: Path | None = None
    """Where QEMU listens; None for a socket in the run directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedOverlay:
    """A new qcow2 image on a frozen layer."""

    path: Path
    frozen: str
    frozen_format: str
    size_bytes: int | None
    """What the guest sees; None for the size of the frozen layer."""

    def create_arguments(self) -> list[str]:
        """Return the arguments of the qemu-img that makes it."""
        size = [] if self.size_bytes is None else [str(self.size_bytes)]
        base = ["-b", self.frozen, "-F", self.frozen_format]
        return ["create", "-q", "-f", "qcow2", *base, str(self.path), *size]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A restore that can be carried out, or printed."""

    state: Path
    capabilities: tuple[str, ...]
    """Migration capabilities that the stream was written with, and that change its layout."""
    places: Places
    """The run directory, which does not exist yet; sockets elsewhere if its path is too long."""
    qmp_socket: Path
    working_directory: Path
    overlays: tuple[PlannedOverlay, ...]
    line: CommandLine
    """With the overlays, but still without a start."""
    notes: tuple[str, ...]
    """What the user should know about the command line."""

    def to_argv(self, *, incoming: str, stopped: bool) -> list[str]:
        """Return the whole command line; see with_start()."""
        line = with_start(self.line, qmp_socket=self.qmp_socket, incoming=incoming, stopped=stopped)
        return line.to_argv()

    def to_shell(self, *, paused: bool) -> list[str]:
        """Return shell commands that do by hand what the restore does."""
        folders = dict.fromkeys([self.places.files, self.places.sockets])
        incoming = f"exec:cat {shlex.quote(str(self.state))}"
        lines = [["cd", str(self.working_directory)], ["mkdir", *map(str, folders)]]
        lines += [["qemu-img", *overlay.create_arguments()] for overlay in self.overlays]
        lines.append(self.to_argv(incoming=incoming, stopped=paused))
        return [shlex.join(words) for words in lines]


def plan_restore(request: Request) -> Plan:
    """Read the snapshot and find the command line for it; nothing is written.

    Raises:
        UsageError: something is missing: the snapshot, a command line, a disk.
        FormatError: the snapshot is damaged.
        UnsupportedError: it is of a kind that cannot be loaded as it is.
    """
    manifest, state = _find_state(request)
    capabilities = _read_capabilities(state)
    places = _places(_run_directory(request))
    qmp_socket = _qmp_socket(request, places)
    disks = manifest.disks if manifest is not None else ()
    overlays = [_plan_overlay(disk, index, places.files) for index, disk in enumerate(disks)]
    fresh = [_fresh_disk(*pair) for pair in zip(disks, overlays, strict=True)]
    if request.argv is not None:
        working_directory = Path.cwd()
        adapted = adapt_given(
            CommandLine.parse(request.argv),
            fresh,
            qmp_socket=qmp_socket,
            working_directory=working_directory,
        )
    else:
        manifest = _require_command_line(manifest, state)
        working_directory = Path(manifest.qemu.working_directory or Path.cwd())
        adapted = adapt_recorded(
            _recorded_line(manifest),
            fresh,
            machine=manifest.machine,
            places=places,
            working_directory=working_directory,
        )
    missing = {disk.overlay for disk in adapted.missing}
    return Plan(
        state=state,
        capabilities=capabilities,
        places=places,
        qmp_socket=qmp_socket,
        working_directory=working_directory,
        overlays=tuple(overlay for overlay in overlays if overlay.path not in missing),
        line=adapted.line,
        notes=adapted.notes,
    )


def _find_state(request: Request) -> tuple[Manifest | None, Path]:
    """Return the manifest, where there is one, and the file that QEMU will read."""
    path = request.snapshot.absolute()
    if not path.is_dir():
        return None, path
    manifest = read_manifest(path)
    if manifest.base is not None:
        problem = "an incremental snapshot cannot be loaded without its base"
        raise UnsupportedError(problem, source=str(request.snapshot))
    for found in find_pairing_problems(path, manifest):
        problem = found.problem if found.node is None else f"disk {found.node}: {found.problem}"
        if found.problem == "is missing":
            raise UsageError(f"{found.path}: {problem}")
        raise FormatError(problem, source=found.path)
    return manifest, path / manifest.state.name


def _read_capabilities(state: Path) -> tuple[str, ...]:
    with FileSource(state) as source:
        require_stream(source)
        configuration = read_preamble(source).configuration
    return configuration.capabilities if configuration is not None else ()


def _require_command_line(manifest: Manifest | None, state: Path) -> Manifest:
    hint = "give one after --, the binary first"
    if manifest is None:
        raise UsageError(f"{state}: a state file does not hold QEMU's command line; {hint}")
    if not manifest.qemu.argv:
        raise UsageError(f"{state.parent}: QEMU's command line was not recorded; {hint}")
    directory = manifest.qemu.working_directory
    if directory is not None and not Path(directory).is_dir():
        problem = f"QEMU's working directory {directory} is gone"
        raise UsageError(f"{state.parent}: {problem}, and its command line with it; {hint}")
    return manifest


def _recorded_line(manifest: Manifest) -> CommandLine:
    line = CommandLine.parse(manifest.qemu.argv or ())
    if shutil.which(line.program) is None and manifest.qemu.binary is not None:
        line = replace(line, program=manifest.qemu.binary)
    return line


def _run_directory(request: Request) -> Path:
    if request.directory is not None:
        directory = request.directory.absolute()
        if directory.exists():
            raise UsageError(f"{request.directory}: exists already")
        return directory
    snapshot = request.snapshot.absolute()
    number = 1
    while (directory := snapshot.with_name(f"{snapshot.name}.restored-{number}")).exists():
        number += 1
    return directory


def _places(directory: Path) -> Places:
    sockets = directory
    if len(os.fsencode(directory)) + 1 + SOCKET_NAME_BYTES > MAX_SOCKET_PATH_BYTES:
        sockets = Path(tempfile.gettempdir()) / f"vmstate-{secrets.token_hex(4)}"
    return Places(files=directory, sockets=sockets)


def _qmp_socket(request: Request, places: Places) -> Path:
    if request.qmp_socket is None:
        return places.sockets / QMP_NAME
    path = request.qmp_socket.absolute()
    if path.exists():
        raise UsageError(f"{request.qmp_socket}: exists already")
    if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
        limit = f"a Unix socket's name has at most {MAX_SOCKET_PATH_BYTES} bytes"
        raise UsageError(f"{path}: too long ({limit})")
    return path


def _plan_overlay(disk: Disk, index: int, directory: Path) -> PlannedOverlay:
    return PlannedOverlay(
        path=directory / f"disk{index}.qcow2",
        frozen=disk.frozen.path,
        frozen_format=disk.frozen.format,
        size_bytes=disk.frozen.virtual_size,
    )


def _fresh_disk(disk: Disk, overlay: PlannedOverlay) -> FreshDisk:
    # The layer after the snapshot means this disk too: nobody wants old memory above new disks.
    names = (disk.frozen.path, *(layer.path for layer in disk.backing_chain), disk.overlay.path)
    return FreshDisk(
        label=f"{disk.device or disk.node} ({disk.frozen.path})",
        names=tuple(Path(os.path.realpath(name)) for name in names if is_file_path(name)),
        overlay=overlay.path,
    )
