"""A QEMU command line as QEMU splits it: options, their values, disk images without an option.

What is not understood is carried through as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from vmstate_tools.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

# Without a value: QEMU 7.2 to 10.0 qemu-options.hx, DEF(name, 0, ...), all targets.
FLAGS = frozenset(
    """
    S async-teardown audio-help daemonize enable-fips enable-kvm enable-sync-profile full-screen
    h help jitdump mem-prealloc no-acpi no-fd-bootchk no-hpet no-kvm no-reboot no-shutdown
    no-user-config nodefaults nographic old-param one-insn-per-tb only-migratable perfmap portrait
    preconfig s semihosting singlestep snapshot usb version win2k-hack xen-attach
    xen-domid-restrict
    """.split()  # noqa: SIM905 (a list of quoted names would fill the screen)
)

# With a value, whatever it looks like: the same files, DEF(name, HAS_ARG, ...).
WITH_VALUE = frozenset(
    """
    D L M accel acpitable action add-fd append audio audiodev bios blockdev boot cdrom chardev
    chroot compat cpu d debugcon device dfilter display drive dtb dump-vmstate echr fda fdb fsdev
    fw_cfg g gdb global hda hdb hdc hdd icount incoming initrd iscsi k kernel loadvm m machine
    mem-path mon monitor msg mtdblock name net netdev nic numa object option-rom overcommit
    parallel pflash pidfile plugin prom-env qmp qmp-pretty qtest qtest-log readconfig rotate rtc
    run-with runas sandbox sd seed semihosting-config serial set shim smbios smp spice tb-size
    tpmdev trace usbdevice uuid vga virtfs vnc watchdog watchdog-action xen-domid
    """.split()  # noqa: SIM905 (a list of quoted names would fill the screen)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option, or a disk image that stands without one."""

    name: str | None
    """Without its dashes; None for a disk image."""
    value: str | None = None
    dashes: str = "-"

    @property
    def words(self) -> tuple[str, ...]:
        """The one or two words of the command line."""
        value = () if self.value is None else (self.value,)
        return value if self.name is None else (self.dashes + self.name, *value)

    def __str__(self) -> str:
        """As a message names it."""
        return " ".join(self.words)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """A whole QEMU command line."""

    program: str
    options: tuple[Option, ...]

    @classmethod
    def parse(cls, argv: Sequence[str]) -> Self:
        """Split `argv`, the program first.

        Raises:
            UsageError: it is empty.
        """
        if not argv:
            raise UsageError("the QEMU command line is empty (the binary comes first)")
        options = []
        words = list(reversed(argv[1:]))
        while words:
            options.append(_take_option(words))
        return cls(program=argv[0], options=tuple(options))

    def to_argv(self) -> list[str]:
        """Join it again; what was not changed is the same word for word."""
        return [self.program, *(word for option in self.options for word in option.words)]


def _take_option(words: list[str]) -> Option:
    """Take the next option off the end of `words`, which stand in reverse order."""
    word = words.pop()
    name = word.removeprefix("-").removeprefix("-")
    if name in {word, ""}:  # QEMU takes a lone dash for an option that it does not know
        return Option(name=None, value=word)
    takes_value = name in WITH_VALUE or (
        # An option of another QEMU: what follows is its value unless it is an option itself.
        name not in FLAGS and bool(words) and not words[-1].startswith("-")
    )
    value = words.pop() if takes_value and words else None
    return Option(name=name, value=value, dashes=word[: len(word) - len(name)])
