"""What every test stands on."""

from __future__ import annotations

import json
import lzma
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import pytest
from hypothesis import HealthCheck, settings

import vms
from vms import Qemu, Vm
from vmstate_tools.guest.image import make_boot_disk, make_data_disk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Part = TypeVar("Part")

# How fast examples are made says nothing here: other tests keep the cores busy with guests.
SLOW_IS_FINE = [HealthCheck.too_slow]
settings.register_profile(
    "ci",
    derandomize=True,
    max_examples=300,
    deadline=None,
    suppress_health_check=SLOW_IS_FINE,
)
settings.register_profile(
    "laptop", max_examples=50, deadline=None, suppress_health_check=SLOW_IS_FINE
)
settings.load_profile("ci" if os.environ.get("CI") else "laptop")

QEMUS: dict[str, Callable[[], Qemu | None]] = {
    "qemu-system": vms.system_qemu,
    "qemu-10.0": vms.newer_qemu,
}
"""Debian 12's own, 7.2, and the one from its backports. What runs on both runs in between."""


LINUX_MIB = 256
FIXTURES = Path(__file__).parent / "fixtures"


class RealStream(NamedTuple):
    """A stream that a real QEMU wrote (scripts/fixtures)."""

    name: str
    """`CASE-VERSION`, the version being QEMU's: `pc-plain-7.2`."""
    path: Path
    expected: dict[str, Any]
    """Facts that QEMU stated elsewhere (scripts/fixtures/facts.py)."""


class StartVm(Protocol):
    """Starts a VM that the fixture ends; the arguments are those of `vms.start_vm`."""

    def __call__(
        self,
        *arguments: str | Path,
        memory_mib: int = ...,
        machine: str = ...,
        disks: Sequence[Path] = ...,
    ) -> Vm:
        """Start it."""


class StartGuest(Protocol):
    """Starts the built-in guest; it prints `tick N` and writes N to memory and all disks."""

    def __call__(
        self,
        *arguments: str | Path,
        dirty_mib: int = ...,
        pages_per_timer_tick: int = ...,
        disk_count: int = ...,
        memory_mib: int = ...,
    ) -> Vm:
        """Start it; its disks are `disk0.qcow2`, ... in `tmp_path`."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs a QEMU by what it asks for."""
    for item in items:
        if "qemu" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.qemu)


def require(part: Part | None, name: str) -> Part:
    """Return `part`, or skip the test because it is missing; CI must have every part."""
    if part is not None:
        return part
    reason = f"{name} is missing: run scripts/install-qemu --for-tests"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(params=list(QEMUS), scope="session")
def qemu(request: pytest.FixtureRequest) -> Qemu:
    """A real QEMU; each test runs once with every one of them."""
    name: str = request.param
    return require(QEMUS[name](), name)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """An empty folder whose path is short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="vms-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def start_vm(qemu: Qemu, short_path: Path) -> Iterator[StartVm]:
    """Start VMs that are killed after the test; a failed test shows what they complained about."""
    started: list[Vm] = []

    def start(*arguments: str | Path, **options: object) -> Vm:
        folder = short_path / f"vm{len(started)}"
        started.append(vms.start_vm(qemu, folder, *arguments, **options))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for vm in started:
        vm.kill()
        sys.stderr.write(f"--- stderr of {vm.folder.name}:\n{vm.stderr()}")


@pytest.fixture
def linux() -> list[str | Path]:
    """The arguments that boot a real Linux."""
    arguments = vms.linux_arguments()
    return require(arguments, "the Linux test guest")


@pytest.fixture
def linux_guest(
    start_vm: StartVm, qemu: Qemu, linux: list[str | Path], tmp_path: Path
) -> Callable[[], Vm]:
    """Start a real Linux that writes its counter to memory and to two qcow2 disks."""

    def start() -> Vm:
        disks = [qemu.make_disk(tmp_path / f"disk{number}.qcow2") for number in range(2)]
        return start_vm(*linux, memory_mib=LINUX_MIB, disks=disks)

    return start


@pytest.fixture
def built_in_guest(start_vm: StartVm, tmp_path: Path) -> StartGuest:
    """Start the built-in guest, which boots from the first of its qcow2 disks."""

    def start(
        *arguments: str | Path,
        dirty_mib: int = 8,
        pages_per_timer_tick: int = 1024,
        disk_count: int = 2,
        memory_mib: int = 32,
    ) -> Vm:
        disks = [tmp_path / f"disk{number}.qcow2" for number in range(disk_count)]
        make_boot_disk(disks[0], memory_mib=dirty_mib, pages_per_timer_tick=pages_per_timer_tick)
        for disk in disks[1:]:
            make_data_disk(disk)
        return start_vm(*arguments, disks=disks, memory_mib=memory_mib)

    return start


@pytest.fixture(scope="session")
def real_streams(tmp_path_factory: pytest.TempPathFactory) -> list[RealStream]:
    """All streams in tests/fixtures, unpacked."""
    folder = tmp_path_factory.mktemp("real-streams")
    streams = []
    for case in sorted(path.parent for path in FIXTURES.glob("*/stream.xz")):
        path = folder / case.name
        path.write_bytes(lzma.decompress((case / "stream.xz").read_bytes()))
        expected = json.loads((case / "expected.json").read_text(encoding="utf-8"))
        streams.append(RealStream(name=case.name, path=path, expected=expected))
    return streams


@pytest.fixture(params=sorted(path.parent.name for path in FIXTURES.glob("*/stream.xz")))
def real_stream(request: pytest.FixtureRequest, real_streams: list[RealStream]) -> RealStream:
    """Each stream in tests/fixtures, one after the other."""
    return next(stream for stream in real_streams if stream.name == request.param)
