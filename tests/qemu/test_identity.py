from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from vmstate_tools.qemu.identity import Identity, read_identity, read_untracked_devices
from vmstate_tools.qemu.session import Session

if TYPE_CHECKING:
    import pytest

    from conftest import StartVm
    from vms import Vm


def identity_of(vm: Vm) -> Identity:
    async def run() -> Identity:
        async with await Session.connect(vm.qmp_path) as session:
            return await read_identity(session)

    return asyncio.run(run())


def test_a_machine_is_called_by_its_versioned_type(start_vm: StartVm) -> None:
    identity = identity_of(start_vm(machine="q35"))
    major, minor, _ = identity.version.split(".")
    assert identity.machine == f"pc-q35-{major}.{minor}"
    assert (identity.accelerator, identity.memory_bytes) == ("tcg", 32 << 20)


def test_a_vm_without_name_and_uuid_has_none(start_vm: StartVm) -> None:
    identity = identity_of(start_vm())
    assert (identity.name, identity.uuid) == (None, None)


def test_the_process_behind_the_socket_tells_how_it_was_started(start_vm: StartVm) -> None:
    vm = start_vm("-name", "a b")
    identity = identity_of(vm)
    assert identity.process_id == vm.pid
    assert identity.arguments is not None
    assert "a b" in identity.arguments
    assert identity.binary is not None
    assert identity.working_directory is not None


def test_a_process_that_is_not_ours_to_see_tells_nothing(
    start_vm: StartVm, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm = start_vm()
    monkeypatch.setattr(Session, "peer_process_id", lambda _: None)
    identity = identity_of(vm)
    assert (identity.binary, identity.arguments, identity.working_directory) == (None, None, None)


def test_ordinary_devices_write_memory_where_it_is_seen(start_vm: StartVm) -> None:
    vm = start_vm("-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n,id=nic")

    async def run() -> list[str]:
        async with await Session.connect(vm.qmp_path) as session:
            return await read_untracked_devices(session)

    assert asyncio.run(run()) == []
