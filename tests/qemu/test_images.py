from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from vmstate_tools.core.errors import UsageError
from vmstate_tools.qemu.images import FreshDisk, Replacement, replace_images
from vmstate_tools.qemu.options import CommandLine

DIRECTORY = Path("/vm")
OVERLAY = Path("/run/new,er.qcow2")  # the comma has to be escaped where commas separate
FROZEN = "/vm/disk.img"


def disk(*names: str, label: str = "disk0", overlay: Path = OVERLAY) -> FreshDisk:
    return FreshDisk(
        label=label, names=tuple(Path(name) for name in names or (FROZEN,)), overlay=overlay
    )


def replaced(words: list[str] | str, *disks: FreshDisk) -> Replacement:
    argv = shlex.split(words) if isinstance(words, str) else words
    return replace_images(CommandLine.parse(["qemu", *argv]), disks or (disk(),), DIRECTORY)


def words(replacement: Replacement) -> list[str]:
    return replacement.line.to_argv()[1:]


def blockdevs(replacement: Replacement) -> list[Any]:
    return [
        json.loads(option.value or "")
        for option in replacement.line.options
        if option.name == "blockdev"
    ]


@pytest.mark.parametrize("option", ["hda", "hdd", "fda", "sd", "pflash", "mtdblock"])
def test_an_option_that_is_a_file_name(option: str) -> None:
    assert words(replaced(f"-m 64 -{option} {FROZEN}")) == ["-m", "64", f"-{option}", str(OVERLAY)]


def test_an_image_without_an_option() -> None:
    assert words(replaced(f"-m 64 {FROZEN} -nographic")) == ["-m", "64", str(OVERLAY), "-nographic"]


@pytest.mark.parametrize(
    "drive,expected",
    [
        ("file=/vm/disk.img", "file=/run/new,,er.qcow2,format=qcow2"),
        ("file=disk.img,if=virtio", "file=/run/new,,er.qcow2,if=virtio,format=qcow2"),
        ("file=file:/vm/disk.img", "file=/run/new,,er.qcow2,format=qcow2"),
        ("file=/vm/../vm/disk.img", "file=/run/new,,er.qcow2,format=qcow2"),
        (
            "if=pflash,format=raw,file=/vm/disk.img",
            "if=pflash,format=qcow2,file=/run/new,,er.qcow2",
        ),
        ("file=/vm/disk.img,driver=raw", "file=/run/new,,er.qcow2,driver=qcow2"),
        ("file=/vm/disk.img,format=raw,size=540672", "file=/run/new,,er.qcow2,format=qcow2"),
        ("file=/vm/disk.img,snapshot=on", "file=/run/new,,er.qcow2,format=qcow2"),
        (
            "file=/vm/disk.img,format=raw,file.locking=off,aio=native,cache.direct=on,id=d0",
            "file=/run/new,,er.qcow2,format=qcow2,file.locking=off,aio=native,cache.direct=on,id=d0",
        ),
        (
            "file.driver=host_device,file.filename=/vm/disk.img,format=raw",
            "file.driver=file,file.filename=/run/new,,er.qcow2,format=qcow2",
        ),
        (
            "driver=qcow2,file.filename=/vm/disk.img,backing.file.filename=/vm/base",
            "driver=qcow2,file.filename=/run/new,,er.qcow2",
        ),
        (
            "driver=throttle,throttle-group=g,file.driver=raw,file.file.filename=/vm/disk.img",
            (
                "driver=throttle,throttle-group=g,file.driver=qcow2,"
                "file.file.filename=/run/new,,er.qcow2"
            ),
        ),
        (
            "driver=throttle,throttle-group=g,file.filename=/vm/disk.img",
            (
                "driver=throttle,throttle-group=g,file.file.filename=/run/new,,er.qcow2,"
                "file.file.driver=file,file.driver=qcow2"
            ),
        ),
        (
            "driver=throttle,throttle-group=g,file=/vm/disk.img",
            "driver=throttle,throttle-group=g,file=/run/new,,er.qcow2",
        ),
        (
            'file=json:{"driver":"raw",,"file":{"driver":"file",,"filename":"/vm/disk.img"}},if=ide',
            "driver=qcow2,file.driver=file,file.filename=/run/new,,er.qcow2,if=ide",
        ),
        (
            'file=json:{"driver":"raw",,"file":{"filename":"/vm/disk.img"}},format=raw',
            "file.filename=/run/new,,er.qcow2,format=qcow2",
        ),
    ],
)
def test_a_drive(drive: str, expected: str) -> None:
    assert words(replaced(["-drive", drive])) == ["-drive", expected]


def test_a_drive_as_proxmox_writes_it() -> None:
    line = (
        "-drive if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/OVMF_CODE.fd "
        "-drive if=pflash,unit=1,id=drive-efidisk0,format=raw,file=/dev/zvol/vm-1-efi,size=540672 "
        "-drive file=/vm/disk.img,if=none,id=drive-scsi0,discard=on,format=raw,cache=none,"
        "aio=io_uring,detect-zeroes=unmap,bps_rd=1048576 "
        "-device scsi-hd,bus=scsihw0.0,scsi-id=0,drive=drive-scsi0,id=scsi0,bootindex=100"
    )
    assert words(replaced(line)) == shlex.split(
        line.replace("file=/vm/disk.img", f"file={str(OVERLAY).replace(',', ',,')}").replace(
            "discard=on,format=raw", "discard=on,format=qcow2"
        )
    )


def test_ovmf_variables_get_an_overlay_and_the_read_only_code_does_not() -> None:
    code = "if=pflash,unit=0,format=raw,readonly=on,file=/vm/code.fd"
    replacement = replaced(
        ["-drive", code, "-drive", "if=pflash,unit=1,format=raw,file=/vm/vars.fd"],
        disk("/vm/vars.fd"),
    )
    assert words(replacement)[1] == code
    assert words(replacement)[3] == "if=pflash,unit=1,format=qcow2,file=/run/new,,er.qcow2"
    assert replacement.untouched == ()


LIBVIRT_STORAGE = {
    "driver": "file",
    "filename": FROZEN,
    "node-name": "libvirt-2-storage",
    "auto-read-only": True,
    "discard": "unmap",
    "cache": {"direct": True, "no-flush": False},
}
LIBVIRT_FORMAT = {
    "node-name": "libvirt-2-format",
    "read-only": False,
    "discard": "unmap",
    "driver": "raw",
    "file": "libvirt-2-storage",
}


def blockdev_words(*nodes: Any) -> list[str]:
    return [word for node in nodes for word in ("-blockdev", json.dumps(node))]


def test_blockdev_nodes_as_libvirt_writes_them() -> None:
    device = '{"driver":"virtio-blk-pci","drive":"libvirt-2-format","id":"virtio-disk0"}'
    replacement = replaced([*blockdev_words(LIBVIRT_STORAGE, LIBVIRT_FORMAT), "-device", device])
    assert blockdevs(replacement) == [
        LIBVIRT_STORAGE | {"filename": str(OVERLAY)},
        LIBVIRT_FORMAT | {"driver": "qcow2"},
    ]
    assert words(replacement)[-1] == device


BASE_STORAGE = LIBVIRT_STORAGE | {"filename": "/vm/base.img", "node-name": "libvirt-3-storage"}
BASE_FORMAT = LIBVIRT_FORMAT | {
    "node-name": "libvirt-3-format",
    "file": "libvirt-3-storage",
    "driver": "qcow2",
    "backing": None,
}
TOP_FORMAT = LIBVIRT_FORMAT | {"driver": "qcow2", "backing": "libvirt-3-format"}


def test_a_chain_that_is_spelled_out_ends_at_the_overlay() -> None:
    nodes = (BASE_STORAGE, BASE_FORMAT, LIBVIRT_STORAGE, TOP_FORMAT)
    replacement = replaced(blockdev_words(*nodes), disk(FROZEN, "/vm/base.img"))
    top = {key: value for key, value in TOP_FORMAT.items() if key != "backing"}
    assert blockdevs(replacement) == [LIBVIRT_STORAGE | {"filename": str(OVERLAY)}, top]
    assert replacement.untouched == ()


def test_a_backing_node_that_others_use_stays() -> None:
    nodes = (BASE_STORAGE, BASE_FORMAT, LIBVIRT_STORAGE, TOP_FORMAT)
    device = ["-device", "virtio-blk-pci,drive=libvirt-3-format"]
    replacement = replaced([*blockdev_words(*nodes), *device], disk(FROZEN, "/vm/base.img"))
    assert [node["node-name"] for node in blockdevs(replacement)][:2] == [
        "libvirt-3-storage",
        "libvirt-3-format",
    ]


def test_a_command_line_older_than_the_frozen_layer_names_its_base() -> None:
    replacement = replaced("-hda /vm/base.img", disk("/vm/newest.qcow2", FROZEN, "/vm/base.img"))
    assert words(replacement) == ["-hda", str(OVERLAY)]


def test_a_read_only_use_of_the_base_is_another_disk() -> None:
    line = "-drive file=/vm/base.img,readonly=on -drive file=/vm/disk.img"
    replacement = replaced(line, disk("/vm/newest.qcow2", "/vm/base.img", FROZEN))
    assert words(replacement)[1] == "file=/vm/base.img,readonly=on"
    assert words(replacement)[3] == "file=/run/new,,er.qcow2,format=qcow2"


@pytest.mark.parametrize(
    "line",
    [
        "-cdrom /vm/disk.img",
        "-drive file=/vm/disk.img,media=cdrom",
        "-drive file=/vm/disk.img,read-only=on",
        "-blockdev driver=file,filename=/vm/disk.img,node-name=f,read-only=on",
        (
            "-blockdev driver=file,filename=/vm/disk.img,node-name=f "
            "-blockdev driver=raw,file=f,node-name=d,read-only=on"
        ),
        "-drive file=nbd:localhost:10809",
        "-blockdev driver=nbd,server.type=unix,server.path=/vm/disk.img,node-name=d",
        "-kernel /vm/disk.img",
        "-drive",
    ],
)
def test_what_is_no_writable_local_image_is_left_alone(line: str) -> None:
    replacement = replaced(line)
    assert words(replacement) == shlex.split(line)
    assert replacement.missing == (disk(),)
    assert replacement.untouched == ()


def test_a_writable_image_outside_the_snapshot_is_reported() -> None:
    replacement = replaced("-hda disk.img -hdb other.img")
    assert replacement.untouched == (Path("/vm/other.img"),)


def test_a_node_of_a_raw_file_becomes_one_of_an_image_with_the_file_inside() -> None:
    line = "-blockdev driver=file,filename=/vm/disk.img,node-name=d,aio=native,cache.direct=on"
    assert words(replaced(line)) == [
        "-blockdev",
        (
            "qcow2,file.filename=/run/new,,er.qcow2,node-name=d,file.aio=native,cache.direct=on,"
            "file.driver=file"
        ),
    ]


def test_a_filter_above_a_raw_file_stays_above_it() -> None:
    throttle = "driver=throttle,throttle-group=g,file=d,node-name=t"
    file = "driver=file,filename=/vm/disk.img,node-name=d"
    replacement = replaced(["-blockdev", file, "-blockdev", throttle])
    assert words(replacement)[1::2] == [
        "qcow2,file.filename=/run/new,,er.qcow2,node-name=d,file.driver=file",
        throttle,
    ]


def test_filters_between_format_and_file_stay() -> None:
    nodes = (
        {"driver": "file", "filename": FROZEN, "node-name": "f"},
        {"driver": "throttle", "throttle-group": "g", "file": "f", "node-name": "t"},
        {"driver": "copy-on-read", "node-name": "c", "file": {"driver": "raw", "file": "t"}},
    )
    assert blockdevs(replaced(blockdev_words(*nodes))) == [
        nodes[0] | {"filename": str(OVERLAY)},
        nodes[1],
        {"driver": "copy-on-read", "node-name": "c", "file": {"driver": "qcow2", "file": "t"}},
    ]


def test_two_disks_get_their_own() -> None:
    one, two = Path("/run/one"), Path("/run/two")
    replacement = replaced(
        "-hda /vm/a -hdb /vm/b",
        disk("/vm/a", label="a", overlay=one),
        disk("/vm/b", label="b", overlay=two),
    )
    assert words(replacement) == ["-hda", str(one), "-hdb", str(two)]


def test_names_are_followed_through_symbolic_links(tmp_path: Path) -> None:
    (tmp_path / "real.img").touch()
    (tmp_path / "link.img").symlink_to("real.img")
    real = Path((tmp_path / "real.img").resolve())
    line = CommandLine.parse(["qemu", "-hda", "link.img"])
    replacement = replace_images(line, [disk(str(real))], tmp_path)
    assert words(replacement) == ["-hda", str(OVERLAY)]


@pytest.mark.parametrize(
    "line,key",
    [
        ("-drive file=/vm/disk.img,format=qcow2,encrypt.key-secret=s", "encrypt"),
        ("-drive file=/vm/disk.img,format=luks,key-secret=s", "key-secret"),
        ("-blockdev driver=raw,offset=512,file.driver=file,file.filename=/vm/disk.img", "offset"),
        ("-blockdev driver=qcow2,file.filename=/vm/disk.img,data-file.filename=x", "data-file"),
    ],
)
def test_an_image_that_an_overlay_cannot_replace_is_refused(line: str, key: str) -> None:
    with pytest.raises(UsageError, match=f"an overlay cannot take the place .* '{key}'"):
        replaced(line)


def test_a_node_below_itself_is_no_endless_loop() -> None:
    nodes = (
        {"driver": "file", "filename": FROZEN, "node-name": "a", "file": "b"},
        {"driver": "throttle", "node-name": "b", "file": "a"},
    )
    assert blockdevs(replaced(blockdev_words(*nodes)))[0]["driver"] == "qcow2"


def test_an_empty_file_name_is_none() -> None:
    assert words(replaced("-drive file=,media=cdrom")) == ["-drive", "file=,media=cdrom"]
    assert words(replaced("-drive if=none,id=d")) == ["-drive", "if=none,id=d"]
