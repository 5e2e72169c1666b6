from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from vmstate_tools.core.errors import HostError, QemuError, UsageError
from vmstate_tools.qemu.process import TAIL_LINES, QemuProcess, stop_process

if TYPE_CHECKING:
    from pathlib import Path


def start(folder: Path, *argv: str) -> QemuProcess:
    return QemuProcess.start(argv, directory=folder, working_directory=folder)


def start_python(folder: Path, code: str) -> QemuProcess:
    return start(folder, sys.executable, "-c", code)


def test_it_runs_in_a_session_of_its_own_where_it_was_told(tmp_path: Path) -> None:
    process = start_python(tmp_path, "import os; print(os.getsid(0), os.getcwd(), flush=True)")
    process.popen.wait()
    assert process.stdout.read_text() == f"{process.process_id} {tmp_path}\n"


def test_a_missing_binary_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^no-such-qemu: No such file or directory$"):
        start(tmp_path, "no-such-qemu")


def test_a_missing_working_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="gone: No such file or directory"):
        QemuProcess.start(["true"], directory=tmp_path, working_directory=tmp_path / "gone")


def test_what_cannot_be_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"cannot be started: .*Permission denied"):
        start(tmp_path, str(tmp_path))


def test_a_command_line_with_a_nul_is_no_crash(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="cannot be started: embedded null byte"):
        start(tmp_path, "true", "\0")


def test_a_live_process_passes_the_check(tmp_path: Path) -> None:
    process = start(tmp_path, "sleep", "60")
    process.check_alive()
    process.kill()
    with pytest.raises(QemuError, match=r"^QEMU ended by signal 9$"):
        process.check_alive()


def test_the_end_of_stderr_says_why_it_died(tmp_path: Path) -> None:
    lines = [
        "qemu-system-x86_64: warning: never mind",
        "guest text",
        "qemu-system-x86_64: error while loading state for instance 0x0 of device 'ram'",
        "2026-01-01T00:00:00.000000Z qemu-kvm: load of migration failed: Invalid argument",
        "",
    ]
    process = start_python(
        tmp_path, f"import sys; sys.stderr.write({chr(10).join(lines)!r}); sys.exit(1)"
    )
    process.popen.wait()
    with pytest.raises(QemuError) as caught:
        process.check_alive()
    assert str(caught.value) == (
        "QEMU ended with exit code 1: guest text; error while loading state for instance 0x0 of "
        "device 'ram'; load of migration failed: Invalid argument"
    )


def test_of_a_long_stderr_the_last_lines_count(tmp_path: Path) -> None:
    process = start_python(tmp_path, "import sys; sys.stderr.write('line\\n' * 100_000)")
    process.popen.wait()
    assert process.last_words() == ["line"] * TAIL_LINES


def test_a_process_is_asked_to_stop(tmp_path: Path) -> None:
    process = start(tmp_path, "sleep", "60")
    stop_process(process.process_id)
    assert process.popen.wait() == -signal.SIGTERM


def test_a_process_that_will_not_stop_is_killed(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN);"
    process = start_python(tmp_path, f"{deaf} print('up', flush=True); time.sleep(60)")
    while not process.stdout.read_text():
        time.sleep(0.01)
    stop_process(process.process_id, wait_seconds=0.1)
    assert process.popen.wait() == -signal.SIGKILL


def test_a_process_that_is_gone_is_stopped() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    stop_process(process.pid)


def test_somebody_elses_process_is_not_ours_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start(tmp_path, "sleep", "60")

    def refuse(*_: int) -> None:
        raise PermissionError(1, os.strerror(1))

    monkeypatch.setattr(signal, "pidfd_send_signal", refuse)
    with pytest.raises(HostError, match="Operation not permitted"):
        stop_process(process.process_id)
    process.kill()
