from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vmstate_tools.cli.main import run
from vmstate_tools.core.errors import QemuError
from vmstate_tools.live import demo
from vmstate_tools.qemu.process import QemuProcess

if TYPE_CHECKING:
    from vms import Qemu

DEMO = [sys.executable, "-m", "vmstate_tools", "demo"]


def processes_in(folder: Path) -> list[str]:
    """Command lines of the processes whose working directory is `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder:
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # it has ended, or is not ours
    return found


@pytest.fixture
def path_to_qemu(qemu: Qemu, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the demonstration find the QEMU under test."""
    monkeypatch.setenv("PATH", f"{qemu.system.parent}:{os.environ['PATH']}")


@pytest.mark.usefixtures("path_to_qemu")
def test_the_whole_story_is_told_within_half_a_minute(
    short_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    started = time.monotonic()
    assert run(["demo", "--keep", str(short_path / "kept")]) == 0
    assert time.monotonic() - started < 30
    out, err = capsys.readouterr()
    assert err == ""
    for part in (
        "$ vmstate snapshot vm.qmp monday",
        "$ vmstate inspect monday",
        "monday: ok",
        "$ vmstate restore monday",
        "memory  one moment (",
        "system  one moment: ",
        "data    one moment: ",
        "restored  ",
        f"vmstate restore {short_path}/kept/monday",
    ):
        assert part in out
    folders = str(short_path)
    too_wide = [line for line in out.splitlines() if len(line) > 80 and folders not in line]
    assert too_wide == []
    assert (short_path / "kept/monday/manifest.json").exists()
    assert processes_in(short_path / "kept") == []


@pytest.mark.qemu
def test_nothing_is_left_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    subprocess.run(DEMO, check=True, stdout=subprocess.DEVNULL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.qemu
def test_ctrl_c_leaves_nothing_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    ours = subprocess.Popen(DEMO, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("*/vm.qmp")):
        assert ours.poll() is None
        time.sleep(0.01)
    (folder,) = tmp_path.iterdir()
    assert any(demo.QEMU in line for line in processes_in(folder))
    ours.send_signal(signal.SIGINT)
    _, said = ours.communicate(timeout=30)
    assert (ours.returncode, said) == (130, "vmstate: interrupted\n")
    assert list(tmp_path.iterdir()) == []
    assert processes_in(folder) == []


def test_a_missing_qemu_comes_with_advice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert run(["demo"]) == 5
    assert capsys.readouterr().err == (
        "vmstate: qemu-system-x86_64 and qemu-img not found; on Debian and Ubuntu: "
        "apt-get install qemu-system-x86 qemu-utils\n"
    )


@pytest.mark.qemu
def test_a_folder_that_exists_is_not_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["demo", "--keep", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"vmstate: {tmp_path}: File exists\n"


def test_a_guest_that_does_not_count_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "TICK_SECONDS", 0.05)
    process = QemuProcess.start(["sleep", "60"], directory=tmp_path, working_directory=tmp_path)
    console = demo.Console(process=process, log=tmp_path / "log")
    with pytest.raises(QemuError, match=r"printed 0 of 1 lines in 0\.05 s"):
        console.wait_for(1)
    process.kill()
