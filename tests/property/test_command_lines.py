"""Whatever a command line holds, it is adapted or refused with a reason."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from vmstate_tools.core.errors import VmstateError
from vmstate_tools.qemu.cmdline import adapt_given, adapt_recorded
from vmstate_tools.qemu.images import FreshDisk
from vmstate_tools.qemu.options import FLAGS, WITH_VALUE, CommandLine
from vmstate_tools.qemu.outputs import Places

PLACES = Places(files=Path("/run"), sockets=Path("/run"))
DISK = FreshDisk(label="disk", names=(Path("/vm/disk"),), overlay=Path("/run/overlay"))

KEYS = st.sampled_from(
    """
    driver file filename file.filename file.driver node-name backing format id chardev path server
    wait logfile hostfwd fd type size offset read-only readonly share mem-path media snapshot
    """.split()  # noqa: SIM905 (one list of words)
)
TEXTS = st.one_of(
    st.sampled_from(["/vm/disk", "file", "qcow2", "raw", "socket", "user", "on", "throttle", "n"]),
    st.text(max_size=6),
)
KEYVAL = st.lists(st.tuples(KEYS, TEXTS), max_size=5).map(
    lambda pairs: ",".join(f"{key}={value}" for key, value in pairs)
)
JSON = st.dictionaries(
    KEYS,
    st.recursive(
        st.one_of(TEXTS, st.booleans(), st.none(), st.integers()),
        lambda inner: st.one_of(
            st.lists(inner, max_size=2), st.dictionaries(KEYS, inner, max_size=3)
        ),
        max_leaves=5,
    ),
    max_size=4,
).map(json.dumps)
VALUES = st.one_of(KEYVAL, JSON, TEXTS, st.text(max_size=8))
OPTIONS = st.one_of(
    st.tuples(st.sampled_from(sorted(WITH_VALUE)).map("-{}".format), VALUES),
    st.tuples(st.sampled_from(["-drive", "-blockdev", "-chardev", "-netdev"]), VALUES),
    st.tuples(st.sampled_from(sorted(FLAGS)).map("-{}".format)),
    st.tuples(VALUES),
)
COMMAND_LINES = st.lists(OPTIONS, max_size=8).map(
    lambda options: CommandLine.parse(["qemu", *(word for words in options for word in words)])
)


@given(COMMAND_LINES)
def test_a_recorded_command_line_is_adapted_or_refused(line: CommandLine) -> None:
    line = CommandLine.parse([*line.to_argv(), "-hda", "/vm/disk"])
    with suppress(VmstateError):
        adapted = adapt_recorded(
            line, [DISK], machine="pc", places=PLACES, working_directory=Path("/vm")
        )
        words = adapted.line.to_argv()
        assert str(DISK.overlay) in " ".join(words)
        assert not {"-S", "-incoming", "-qmp", "-daemonize"} & {
            option.dashes + option.name for option in adapted.line.options if option.name
        }


@given(COMMAND_LINES)
def test_a_given_command_line_without_our_disks_is_hardly_touched(line: CommandLine) -> None:
    with suppress(VmstateError):
        adapted = adapt_given(
            line, [], qmp_socket=Path("/run/q"), working_directory=Path("/elsewhere")
        )
        ours = {"S", "incoming", "daemonize"}
        assert adapted.line.options == tuple(
            option for option in line.options if option.name not in ours
        )
