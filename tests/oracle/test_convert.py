"""A real QEMU loads what was converted, and has the memory that the original guest had."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from migrating import load
from ram_streams import BIOS_BYTES, LOADABLE, ram_stream
from vmstate_tools.cli.main import run

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import StartVm
    from vms import Qemu

MEMORY_MIB = 16


def loadable(qemu: Qemu) -> list[str]:
    """Return the streams of versions that `qemu` knows."""
    newest = float(qemu.version.rpartition(".")[0])
    return [name for name in LOADABLE if float(name.rpartition("-")[2]) <= newest]


def test_converted_streams_load_with_the_memory_of_their_guests(
    qemu: Qemu, start_vm: StartVm, tmp_path: Path
) -> None:
    bios, source, target = (tmp_path / name for name in ("bios", "source", "target"))
    bios.write_bytes(bytes(BIOS_BYTES))
    for name in loadable(qemu):
        stream = ram_stream(name)
        source.write_bytes(stream.data)
        arguments = ["convert", str(source), str(target), "--to", "stream", "--force"]
        assert run(arguments) == 0
        vm = start_vm(
            *("-S", "-incoming", "defer", "-bios", bios),
            machine=stream.expected["machine"],
            memory_mib=MEMORY_MIB,
        )
        load(vm, target)
        vm.qmp("pmemsave", val=0, size=MEMORY_MIB << 20, filename=str(vm.folder / "memory"))
        memory = (vm.folder / "memory").read_bytes()
        stream.assert_memory(lambda start, size: memory[start : start + size])  # noqa: B023
        vm.kill()


@pytest.mark.parametrize("name", LOADABLE)
def test_converted_stream_is_sound(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(ram_stream(name).data)
    assert run(["convert", str(source), str(target), "--to", "stream"]) == 0
    # What was compressed takes more room.
    assert "compress" in name or target.stat().st_size < source.stat().st_size
    capsys.readouterr()
    assert run(["verify", str(target)]) == 0, capsys.readouterr().out
