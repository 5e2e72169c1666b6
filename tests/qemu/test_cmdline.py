from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from vmstate_tools.core.errors import UsageError
from vmstate_tools.qemu.cmdline import Adapted, adapt_given, adapt_recorded, with_start
from vmstate_tools.qemu.images import FreshDisk
from vmstate_tools.qemu.options import CommandLine
from vmstate_tools.qemu.outputs import Places

PLACES = Places(files=Path("/run/files"), sockets=Path("/run/sockets"))
SOCKET = Path("/run/sockets/q,mp")
DISK = FreshDisk(label="disk0", names=(Path("/vm/disk.img"),), overlay=Path("/run/overlay"))


def recorded(words: str, *disks: FreshDisk) -> Adapted:
    line = CommandLine.parse(["qemu", *shlex.split(words)])
    return adapt_recorded(
        line, disks, machine="pc-i440fx-7.2", places=PLACES, working_directory=Path("/vm")
    )


def given(words: str, *disks: FreshDisk) -> Adapted:
    line = CommandLine.parse(["qemu", *shlex.split(words)])
    return adapt_given(line, disks, qmp_socket=SOCKET, working_directory=Path("/vm"))


def text(adapted: Adapted) -> str:
    return shlex.join(adapted.line.to_argv()[1:])


def test_a_recorded_command_line_is_made_fit_to_run_beside_the_original() -> None:
    adapted = recorded(
        "-M q35,accel=kvm -m 1G -S -hda disk.img -incoming tcp::1 -qmp unix:/vm/q,server=on "
        "-serial file:/vm/log -pidfile /vm/pid",
        DISK,
    )
    assert text(adapted) == (
        "-M pc-i440fx-7.2,accel=kvm -m 1G -hda /run/overlay -serial file:/run/files/serial0.log"
    )
    assert adapted.notes == (
        "-serial file:/vm/log is now -serial file:/run/files/serial0.log",
        "left out: -qmp unix:/vm/q,server=on, -pidfile /vm/pid",
    )


@pytest.mark.parametrize(
    "words,expected",
    [
        ("-m 64", "-m 64 -machine pc-i440fx-7.2"),
        ("-machine accel=tcg", "-machine accel=tcg -machine pc-i440fx-7.2"),
        ("-machine type=pc,accel=tcg", "-machine pc-i440fx-7.2,accel=tcg"),
        ("-M pc -machine pc", "-M pc-i440fx-7.2 -machine pc-i440fx-7.2"),
    ],
)
def test_the_machine_type_is_the_one_of_the_snapshot(words: str, expected: str) -> None:
    assert text(recorded(words)) == expected


def test_a_disk_that_is_not_on_the_recorded_command_line_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"^disk disk0 is not on the recorded .* after --"):
        recorded("-m 64", DISK)


def test_temporary_disks_become_overlays_that_stay() -> None:
    adapted = recorded("-M pc -snapshot -hda disk.img", DISK)
    assert text(adapted) == "-M pc-i440fx-7.2 -hda /run/overlay"
    assert adapted.notes == ("-snapshot left out: the guest writes to new overlays",)


def test_temporary_disks_stay_temporary_where_one_has_no_overlay() -> None:
    adapted = recorded("-M pc -snapshot -hda disk.img -hdb other.img", DISK)
    assert "-snapshot" in text(adapted)
    assert adapted.notes[0].startswith("-snapshot stays")


def test_a_writable_disk_outside_the_snapshot_is_noted() -> None:
    assert recorded("-M pc -hda other.img").notes == (
        "/vm/other.img is not part of the snapshot: the guest gets it as it is now",
    )


def test_a_given_command_line_keeps_all_but_disks_and_start() -> None:
    words = "-M pc -S -hda disk.img -incoming defer -serial file:/vm/log -qmp unix:/vm/q -vnc :1"
    adapted = given(words, DISK)
    kept = "-M pc -hda /run/overlay -serial file:/vm/log -qmp unix:/vm/q -vnc :1"
    assert (text(adapted), adapted.notes) == (kept, ())


def test_our_own_qmp_socket_on_a_given_command_line_is_not_there_twice() -> None:
    assert text(given("-m 1 -qmp unix:/run/sockets/q,,mp,server=on,wait=off")) == "-m 1"
    assert text(given("-m 1 -qmp unix:/run/sockets/q,,mp")) == "-m 1"


def test_a_given_command_line_need_not_name_every_disk() -> None:
    adapted = given("-m 1", DISK)
    assert adapted.missing == (DISK,)
    assert adapted.notes == ("disk disk0 of the snapshot is not on the command line",)


def test_a_given_command_line_that_loads_another_state_is_refused() -> None:
    with pytest.raises(UsageError, match="-loadvm"):
        given("-loadvm tag")


def test_qemu_that_we_start_does_not_leave_us() -> None:
    adapted = given("-m 1 -daemonize")
    assert text(adapted) == "-m 1"
    assert adapted.notes == ("-daemonize left out: QEMU runs in the background anyway",)


@pytest.mark.parametrize("stopped,flag", [(True, ["-S"]), (False, [])])
def test_the_start_is_added_last(*, stopped: bool, flag: list[str]) -> None:
    line = with_start(
        CommandLine.parse(["qemu", "-m", "1"]),
        qmp_socket=SOCKET,
        incoming="defer",
        stopped=stopped,
    )
    assert line.to_argv() == [
        *("qemu", "-m", "1"),
        *("-qmp", "unix:/run/sockets/q,,mp,server=on,wait=off"),
        *flag,
        *("-incoming", "defer"),
    ]
