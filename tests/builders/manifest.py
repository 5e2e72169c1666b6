"""A manifest with every field overridable."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from vmstate_tools.snapshot.manifest import (
    Disk,
    Downtime,
    FileDigest,
    Layer,
    Manifest,
    Overlay,
    Qemu,
    RamBlock,
    StateFile,
    Totals,
)

ZERO_DIGEST = "0" * 64


def disk(folder: str = "/images", **changes: Any) -> Disk:
    made = Disk(
        node="disk0",
        device="virtio0",
        frozen=Layer(path=f"{folder}/disk0.qcow2", format="qcow2", virtual_size=8 << 20),
        overlay=Overlay(path=f"{folder}/disk0.1.qcow2", node="disk0-1"),
        backing_chain=(Layer(path=f"{folder}/base.raw", format="raw"),),
    )
    return replace(made, **changes)


def manifest(**changes: Any) -> Manifest:
    made = Manifest(
        created=datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC),
        state=StateFile(name="vmstate.bin", format="stream"),
        files={"vmstate.bin": FileDigest(bytes=0, sha256=ZERO_DIGEST)},
        qemu=Qemu(
            version="7.2.22",
            package="Debian 1:7.2",
            binary="/usr/bin/qemu-system-x86_64",
            argv=("qemu-system-x86_64", "-m", "128"),
        ),
        machine="pc-i440fx-7.2",
        accelerator="tcg",
        cpu_model="qemu64",
        page_size=4096,
        ram_blocks=(RamBlock(name="pc.ram", size=128 << 20),),
        vm_name="vm",
        vm_uuid=None,
        was_running=True,
        downtime=Downtime(
            total_seconds=0.0042,
            overlays_seconds=0.001,
            setup_seconds=0.002,
            device_state_seconds=0.0012,
        ),
        duration_seconds=1.5,
        totals=Totals(pages_stored=10, pages_zero=20, device_bytes=3000),
        disks=(),
        skipped_disks=(),
    )
    return replace(made, **changes)
