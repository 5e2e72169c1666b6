"""What a running QEMU is: facts for the manifest, all by QMP and /proc."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmstate_tools.qemu.session import Session

UNTRACKED_DEVICES = ("vfio-", "vhost-user-", "vhost-vdpa-", "x-vfio-user-")
"""Device types whose memory writes bypass QEMU's page tables, so that write protection does not
see them: DMA by a passed-through device, and other processes that map guest memory."""

UNTRACKED_NETWORKS = ("vhost-user", "vhost-vdpa")
"""Network back ends of the same kind, as HMP `info network` names them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The QEMU process and its machine."""

    version: str
    package: str
    machine: str
    """Versioned machine type, as in the stream's configuration."""
    accelerator: str | None
    """`kvm`, `tcg`, or None where QMP does not tell."""
    cpu_model: str | None
    name: str | None
    uuid: str | None
    memory_bytes: int
    process_id: int | None
    binary: str | None
    arguments: tuple[str, ...] | None
    """The whole command line, binary first; None when /proc does not show it to us."""
    working_directory: str | None


async def read_identity(session: Session) -> Identity:
    """Ask QEMU who it is."""
    version = await session.execute("query-version")
    numbers = version["qemu"]
    cpus = await session.execute("query-cpus-fast")
    memory = await session.execute("query-memory-size-summary")
    uuid = (await session.execute("query-uuid"))["UUID"]
    process_id = session.peer_process_id()
    return Identity(
        version=f"{numbers['major']}.{numbers['minor']}.{numbers['micro']}",
        package=version["package"],
        machine=(await _object_type(session, "/machine")).removesuffix("-machine"),
        accelerator=await _accelerator(session),
        cpu_model=await _object_type(session, cpus[0]["qom-path"]) if cpus else None,
        name=(await session.execute("query-name")).get("name"),
        uuid=None if set(uuid) <= {"0", "-"} else uuid,
        memory_bytes=memory["base-memory"] + memory.get("plugged-memory", 0),
        process_id=process_id,
        binary=_link(process_id, "exe"),
        arguments=_arguments(process_id),
        working_directory=_link(process_id, "cwd"),
    )


async def read_untracked_devices(session: Session) -> list[str]:
    """Name the devices whose memory writes a background snapshot would not see."""
    found = []
    for folder in ("/machine/peripheral", "/machine/peripheral-anon"):
        for child in await session.execute("qom-list", {"path": folder}):
            kind = child["type"].removeprefix("child<").removesuffix(">")
            if kind.startswith(UNTRACKED_DEVICES):
                found.append(f"{child['name']} ({kind})")
    networks = await session.execute("human-monitor-command", {"command-line": "info network"})
    found += [
        line.strip()
        for line in networks.splitlines()
        if any(f"type={kind}" in line for kind in UNTRACKED_NETWORKS)
    ]
    return found


async def _object_type(session: Session, path: str) -> str:
    kind: str = await session.execute("qom-get", {"path": path, "property": "type"})
    return kind


async def _accelerator(session: Session) -> str | None:
    if (await session.execute("query-kvm"))["enabled"]:
        return "kvm"
    jit = await session.execute("human-monitor-command", {"command-line": "info jit"})
    return None if "only available with" in jit else "tcg"


def _link(process_id: int | None, name: str) -> str | None:
    try:
        return str(Path(f"/proc/{process_id}/{name}").readlink())
    except OSError:
        return None


def _arguments(process_id: int | None) -> tuple[str, ...] | None:
    try:
        data = Path(f"/proc/{process_id}/cmdline").read_bytes()
    except OSError:
        return None
    arguments = data.decode(errors="surrogateescape").split("\0")[:-1]
    return tuple(arguments) or None
