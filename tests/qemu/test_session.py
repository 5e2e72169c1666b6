from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from vmstate_tools.core.errors import QemuError, UsageError
from vmstate_tools.qemu import session as module
from vmstate_tools.qemu.session import QmpCommandError, QmpLostError, Session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import StartVm


def test_commands_sent_back_to_back_are_carried_out_in_that_order(start_vm: StartVm) -> None:
    vm = start_vm()

    async def run() -> list[bool]:
        async with await Session.connect(vm.qmp_path) as session:
            commands = ["stop", "query-status", "cont", "query-status"]
            answers = await asyncio.gather(*[session.submit(command) for command in commands])
            assert [event.name for event in session.events] == ["STOP", "RESUME"]
            return [answers[1]["running"], answers[3]["running"]]

    assert asyncio.run(run()) == [False, True]


def test_events_carry_the_time_at_which_qemu_says_they_happened(start_vm: StartVm) -> None:
    vm = start_vm()

    async def run() -> float:
        async with await Session.connect(vm.qmp_path) as session:
            await session.execute("stop")
            event = await session.wait_for_event(lambda e: e.name == "STOP", wait_seconds=5)
            return event.host_seconds

    seconds = asyncio.run(run())
    vm.qmp("query-status")
    assert [event.seconds for event in vm.events if event.name == "STOP"] == [seconds]


def test_a_refused_command_is_told_in_the_words_of_qemu(start_vm: StartVm) -> None:
    vm = start_vm()

    async def run() -> None:
        async with await Session.connect(vm.qmp_path) as session:
            await session.execute("no-such-command")

    with pytest.raises(QmpCommandError, match=r"QEMU refused no-such-command: .* not been found"):
        asyncio.run(run())


def test_an_event_that_does_not_come_is_given_up_after_the_time(start_vm: StartVm) -> None:
    vm = start_vm()

    async def run() -> None:
        async with await Session.connect(vm.qmp_path) as session:
            await session.wait_for_event(lambda _: False, wait_seconds=0.05)

    with pytest.raises(QmpLostError, match=r"no such event in 0\.05 s"):
        asyncio.run(run())


def test_a_qemu_that_dies_ends_every_wait_at_once(start_vm: StartVm) -> None:
    vm = start_vm()

    async def run() -> None:
        async with await Session.connect(vm.qmp_path) as session:
            waiting = asyncio.create_task(session.wait_for_event(lambda _: False, wait_seconds=60))
            await asyncio.sleep(0)
            os.kill(vm.pid, signal.SIGKILL)
            with pytest.raises(QmpLostError, match="QEMU is gone: the event"):
                await waiting
            assert session.lost
            with pytest.raises(QmpLostError, match="QEMU is gone: query-status was not answered"):
                await session.execute("query-status")

    asyncio.run(run())


def test_a_descriptor_reaches_qemu(start_vm: StartVm) -> None:
    vm = start_vm()
    reading, writing = os.pipe()

    async def run() -> None:
        async with await Session.connect(vm.qmp_path) as session:
            session.send_descriptor(writing)
            await session.execute("getfd", {"fdname": "ours"})
            await session.execute("closefd", {"fdname": "ours"})

    asyncio.run(run())
    os.close(writing)
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_the_peer_is_the_process_that_listens(start_vm: StartVm) -> None:
    vm = start_vm()

    async def run() -> int | None:
        async with await Session.connect(vm.qmp_path) as session:
            return session.peer_process_id()

    assert asyncio.run(run()) == vm.pid


def test_a_socket_that_another_client_holds_is_called_so(
    start_vm: StartVm, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm = start_vm()
    monkeypatch.setattr(module, "GREETING_SECONDS", 0.2)

    async def run() -> None:
        async with await Session.connect(vm.qmp_path):
            await Session.connect(vm.qmp_path)

    with pytest.raises(QemuError, match=r"no greeting within 0\.2 s: another client holds this"):
        asyncio.run(run())


def test_a_path_where_nothing_listens_is_a_wrong_path(short_path: Path) -> None:
    with pytest.raises(UsageError, match="no QMP socket answers there: No such file"):
        asyncio.run(Session.connect(short_path / "nothing"))


@pytest.fixture
def talkative_server(short_path: Path) -> Iterator[Path]:
    """A server that says something, which is not QMP."""
    path = short_path / "socket"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def talk() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"220 mail.example ESMTP\r\n")
                connection.recv(100)

        thread = threading.Thread(target=talk)
        thread.start()
        yield path
        thread.join()


def test_a_server_that_is_not_qemu_is_called_so(talkative_server: Path) -> None:
    with pytest.raises(QemuError, match="does not speak QMP"):
        asyncio.run(Session.connect(talkative_server))
