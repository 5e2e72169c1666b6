from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from plain_qmp import QmpRefusedError
from vmstate_tools.core.errors import QemuError
from vmstate_tools.qemu import migrate as module
from vmstate_tools.qemu.migrate import (
    CapabilityChange,
    apply_capabilities,
    plan_background_snapshot,
    read_status,
    set_capabilities,
)
from vmstate_tools.qemu.session import Session

if TYPE_CHECKING:
    from conftest import StartVm
    from vms import Vm


def plan(vm: Vm) -> CapabilityChange:
    async def run() -> CapabilityChange:
        async with await Session.connect(vm.qmp_path) as session:
            return await plan_background_snapshot(session)

    return asyncio.run(run())


def test_only_what_differs_is_switched_and_switched_back(start_vm: StartVm) -> None:
    vm = start_vm()
    vm.qmp("migrate-set-capabilities", capabilities=[{"capability": "xbzrle", "state": True}])
    change = plan(vm)
    assert change.wanted == [
        {"capability": "xbzrle", "state": False},
        {"capability": "background-snapshot", "state": True},
        {"capability": "events", "state": True},
    ]
    assert change.before == [
        {"capability": "xbzrle", "state": True},
        {"capability": "background-snapshot", "state": False},
        {"capability": "events", "state": False},
    ]


def test_every_capability_that_does_not_go_with_it_is_switched_off(start_vm: StartVm) -> None:
    vm = start_vm()
    names = [entry["capability"] for entry in vm.qmp("query-migrate-capabilities")]
    for name in sorted(module.INCOMPATIBLE & set(names)):
        wanted = [{"capability": name, "state": True}]
        try:
            vm.qmp("migrate-set-capabilities", capabilities=wanted)
        except QmpRefusedError:
            continue  # it does not stand alone, or not in this build

        async def switch() -> None:
            async with await Session.connect(vm.qmp_path) as session:
                change = await plan_background_snapshot(session)
                await apply_capabilities(session, change)
                await set_capabilities(session, change.before)

        asyncio.run(switch())
        vm.qmp("migrate-set-capabilities", capabilities=[{"capability": name, "state": False}])


def test_a_qemu_without_the_engine_is_told_from_one_that_refuses(
    start_vm: StartVm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BACKGROUND_SNAPSHOT", "no-such-capability")
    with pytest.raises(QemuError, match=r"has no migration capability background-snapshot"):
        plan(start_vm())


def test_a_refusal_that_we_do_not_know_is_told_in_the_words_of_qemu(start_vm: StartVm) -> None:
    vm = start_vm()
    state = {"capability": "no-such-capability", "state": True}
    change = CapabilityChange(wanted=[state], before=[])

    async def run() -> None:
        async with await Session.connect(vm.qmp_path) as session:
            await apply_capabilities(session, change)

    with pytest.raises(
        QemuError, match=r"QEMU refuses a background snapshot: .*no-such-capability"
    ):
        asyncio.run(run())


def test_a_vm_that_never_migrated_has_sent_nothing(start_vm: StartVm) -> None:
    vm = start_vm()

    async def run() -> module.MigrationStatus:
        async with await Session.connect(vm.qmp_path) as session:
            return await read_status(session)

    status = asyncio.run(run())
    assert (status.state, status.page_count, status.error, status.blockers) == ("none", 0, None, ())
