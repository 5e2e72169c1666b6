"""What the command line of another VM writes to or listens on, moved out of that VM's way.

The restored guest runs beside the original, so a file, socket or port that the recorded command
line names belongs to the original. Every device that the guest sees stays.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vmstate_tools.core.errors import UsageError
from vmstate_tools.qemu.options import CommandLine
from vmstate_tools.qemu.properties import Properties, Value, escape_commas

if TYPE_CHECKING:
    from collections.abc import Callable

    from vmstate_tools.qemu.options import Option

LEFT_OUT = frozenset({"add-fd", "daemonize", "dump-vmstate", "gdb", "loadvm", "mon", "monitor"}) | {
    *("pidfile", "preconfig", "qmp", "qmp-pretty", "s")
}
"""Options that the restored VM does without: ways in for people and programs, and other starts."""

HOST_DEVICES = frozenset({"parallel", "parport", "pipe", "serial", "tty", "udp"})
"""Kinds of character device that only one VM can use at a time."""

_HOST_PORT = re.compile(r"^(.*?:)([0-9]+)(-[^-]*)$")
_LISTEN_PORT = re.compile(r"^(.*:)[0-9]+$")
_DESCRIPTOR_KEYS = frozenset({"fd", "fds", "sock_fd", "vhostfd", "vhostfds"})
_DESCRIPTOR_OPTIONS = frozenset({"chardev", "device", "fsdev", "net", "netdev", "nic", "virtfs"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where the files and sockets of the restored VM go."""

    files: Path
    sockets: Path
    """Short enough for Unix sockets, whose whole name has at most 107 bytes."""

    def file(self, name: str) -> str:
        """Name a file."""
        return str(self.files / _as_file_name(name))

    def socket(self, name: str) -> str:
        """Name a socket."""
        return str(self.sockets / f"{_as_file_name(name)}.sock")


@dataclass(slots=True)
class _Context:
    """Where things go, and how many of each kind there were so far."""

    places: Places
    counts: dict[str, int] = field(default_factory=dict)

    def next_name(self, kind: str) -> str:
        number = self.counts.get(kind, 0)
        self.counts[kind] = number + 1
        return f"{kind}{number}"


def redirect_outputs(line: CommandLine, places: Places) -> tuple[CommandLine, tuple[str, ...]]:
    """Give `line` files, sockets and ports of its own.

    Returns:
        The command line, and a note for the user on each option that is not as it was.

    Raises:
        UsageError: it needs descriptors that only the program which started it had.
    """
    context = _Context(places)
    left_out = _left_out(line.options)
    kept = [option for option in line.options if option not in left_out]
    changed = [_redirect(option, context) for option in kept]
    for option in changed:
        _refuse_descriptors(option)
    notes = [f"{old} is now {new}" for old, new in zip(kept, changed, strict=True) if old != new]
    if left_out:
        notes.append("left out: " + ", ".join(str(option) for option in left_out))
    return CommandLine(program=line.program, options=tuple(changed)), tuple(notes)


def _redirect(option: Option, context: _Context) -> Option:
    change = _CHANGES.get(option.name or "")
    if change is None or option.value is None:
        return option
    return replace(option, value=change(option.value, context))


def _left_out(options: tuple[Option, ...]) -> list[Option]:
    """Return the options of LEFT_OUT, and the character devices that only serve a `-mon`."""
    monitored = {
        Properties.parse(option.value, "chardev").get("chardev")
        for option in options
        if option.name == "mon" and option.value is not None
    }
    return [
        option
        for option in options
        if option.name in LEFT_OUT
        or (option.name == "chardev" and _chardev_id(option) in monitored - _used(options))
    ]


def _chardev_id(option: Option) -> str | None:
    return Properties.parse(option.value or "", "backend").text("id")


def _used(options: tuple[Option, ...]) -> set[Value]:
    """Return the ids of the character devices that more than a monitor refers to."""
    others = [option.value or "" for option in options if option.name not in {"chardev", "mon"}]
    used: set[Value] = set()
    for name in (_chardev_id(option) for option in options if option.name == "chardev"):
        word = re.compile(rf"(?<![\w.-]){re.escape(name or '')}(?![\w.-])")
        if any(word.search(text) for text in others):
            used.add(name)
    return used


def _refuse_descriptors(option: Option) -> None:
    value = option.value or ""
    keys: set[str] = set()
    if option.name in _DESCRIPTOR_OPTIONS:
        keys = {key for key, _ in Properties.parse(value).pairs}
    if "/dev/fdset/" in value or keys & _DESCRIPTOR_KEYS:
        problem = "the recorded command line needs a descriptor that only the program which"
        hint = "started that QEMU had; give a command line of your own after --"
        raise UsageError(f"{problem} {hint} ({option})")


def _character_device(kind: str, value: str, context: _Context) -> str:
    return _short_character_device(value, context.next_name(kind), context.places)


def _short_character_device(value: str, name: str, places: Places) -> str:
    """Change the value of `-serial` and its like: `file:PATH`, `tcp::4444,server=on`."""
    if value.startswith("mon:"):
        return "mon:" + _short_character_device(value.removeprefix("mon:"), name, places)
    kind, _, rest = value.partition(":")
    if kind == "file":
        return f"file:{places.file(f'{name}.log')}"  # with commas as they are: QEMU wants it so
    if kind in {"unix", "tcp", "telnet", "tn3270", "websocket"}:
        if not Properties.parse(rest, "path").is_on("server"):
            return value
        return f"unix:{escape_commas(places.socket(name))},server=on,wait=off"
    if kind in HOST_DEVICES or value.startswith("/dev/"):
        return "null"
    return value


def _chardev(value: str, context: _Context) -> str:
    properties = Properties.parse(value, "backend")
    name = properties.text("id") or context.next_name("chardev")
    if properties.has("logfile"):
        properties = properties.with_value("logfile", context.places.file(f"{name}.logfile"))
    backend = properties.get("backend")
    if backend == "file":
        properties = properties.with_value("path", context.places.file(f"{name}.log"))
    elif backend == "socket" and properties.is_on("server"):
        kept = {"backend", "id", "server", "mux", "logfile", "logappend"}
        pairs = tuple(pair for pair in properties.pairs if pair[0] in kept)
        properties = replace(properties, pairs=pairs)
        # Without `wait=off` QEMU would not start before somebody connects.
        properties = properties.with_value("path", context.places.socket(name))
        properties = properties.with_value("wait", "off")
    elif backend in HOST_DEVICES:
        kept = {"id", "mux", "logfile", "logappend"}
        pairs = tuple(pair for pair in properties.pairs if pair[0] in kept)
        properties = replace(properties, pairs=(("backend", "null"), *pairs))
    return _text_if_changed(value, properties)


def _network(value: str, context: _Context) -> str:
    properties = Properties.parse(value, "type")
    name = properties.text("id") or context.next_name("net")
    kind = properties.get("type")

    def change(key: str, old: Value) -> tuple[str, Value]:
        if not isinstance(old, str):
            return key, old
        if kind == "user" and key.startswith("hostfwd"):
            return key, _HOST_PORT.sub(r"\g<1>0\g<3>", old)  # 0: QEMU finds a free port
        if kind == "socket" and key == "listen":
            return key, _LISTEN_PORT.sub(r"\g<1>0", old)
        if kind == "stream" and properties.is_on("server"):
            return key, {"addr.port": "0", "addr.path": context.places.socket(name)}.get(key, old)
        return key, old

    return _text_if_changed(value, properties.mapped(change))


def _memory_or_filter(value: str, context: _Context) -> str:
    """Change `-object`: shared memory in a file would overwrite that of the running original."""
    properties = Properties.parse(value, "qom-type")
    kind, name = properties.get("qom-type"), properties.text("id") or "object"
    if kind == "filter-dump":
        properties = properties.with_value("file", context.places.file(f"{name}.pcap"))
    is_shared = kind == "memory-backend-file" and properties.is_on("share")
    # In a directory (huge pages) QEMU makes a file of its own and unlinks it.
    if is_shared and not Path(properties.text("mem-path") or "/").is_dir():
        memory = context.places.file(f"{name}.memory")
        properties = properties.with_value("mem-path", memory)
    return _text_if_changed(value, properties)


def _vnc(value: str, context: _Context) -> str:
    if value == "none":
        return value
    if Properties.parse(value, "vnc").is_on("reverse"):
        return "none"
    return f"unix:{escape_commas(context.places.socket(context.next_name('vnc')))}"


def _display(value: str, context: _Context) -> str:
    if value.startswith("vnc="):
        return "vnc=" + _vnc(value.removeprefix("vnc="), context)
    return "none" if value.split(",", maxsplit=1)[0] == "curses" else value


def _spice(value: str, context: _Context) -> str:
    properties = Properties.parse(value)
    tls = [key for key, _ in properties.pairs if key.startswith(("tls-", "x509-"))]
    properties = properties.without("port", "ipv4", "ipv6", "plaintext-channel", *tls)
    properties = properties.with_value("unix", "on")
    return properties.with_value("addr", context.places.socket("spice")).to_text()


def _log_file(_: str, context: _Context) -> str:
    return context.places.file("qemu-debug.log")


def _trace(value: str, context: _Context) -> str:
    properties = Properties.parse(value, "enable")
    if properties.has("file"):
        properties = properties.with_value("file", context.places.file("qemu.trace"))
    return _text_if_changed(value, properties)


def _audio(value: str, context: _Context) -> str:
    properties = Properties.parse(value, "driver")
    if properties.get("driver") == "wav":
        name = properties.text("id") or "audio"
        properties = properties.with_value("path", context.places.file(f"{name}.wav"))
    return _text_if_changed(value, properties)


def _text_if_changed(value: str, properties: Properties) -> str:
    same = properties.pairs == Properties.parse(value, properties.implied).pairs
    return value if same else properties.to_text()


def _as_file_name(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)


_CHANGES: dict[str, Callable[[str, _Context], str]] = {
    "D": _log_file,
    "audiodev": _audio,
    "chardev": _chardev,
    "debugcon": partial(_character_device, "debugcon"),
    "display": _display,
    "net": _network,
    "netdev": _network,
    "nic": _network,
    "object": _memory_or_filter,
    "parallel": partial(_character_device, "parallel"),
    "serial": partial(_character_device, "serial"),
    "spice": _spice,
    "trace": _trace,
    "vnc": _vnc,
}
