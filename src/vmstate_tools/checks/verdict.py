"""All checks, in the order in which they are told, and how they are run on a snapshot."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmstate_tools.checks import (
    device_state,
    digest,
    fields,
    footers,
    framing,
    manifest,
    mapped_bitmaps,
    order,
    page_content,
    pairing,
    ram_complete,
    trailing,
)
from vmstate_tools.checks.finding import Evidence, Finding, Severity
from vmstate_tools.core.errors import LocatedError, UsageError, VmstateError
from vmstate_tools.snapshot.open import open_snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vmstate_tools.core.source import ByteSource

    Check = Callable[[Evidence], Iterator[Finding]]

CHECKS: dict[str, Check] = {
    framing.NAME: framing.framing,
    footers.NAME: footers.footers,
    order.NAME: order.order,
    trailing.NAME: trailing.trailing,
    ram_complete.NAME: ram_complete.ram_complete,
    mapped_bitmaps.NAME: mapped_bitmaps.mapped_bitmaps,
    page_content.NAME: page_content.page_content,
    device_state.NAME: device_state.device_state,
    fields.NAME: fields.fields,
    manifest.NAME: manifest.manifest,
    digest.NAME: digest.digest,
    pairing.NAME: pairing.pairing,
}

DEEP_CHECKS = {fields.NAME}
"""Only when somebody asks for them, because they take long."""

STOPPED_CHECKS = {framing.NAME, footers.NAME, digest.NAME, pairing.NAME}
"""What still makes sense when the stream could not be read to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the checks say of one snapshot."""

    path: Path
    findings: tuple[Finding, ...]
    checks: tuple[str, ...]
    """Those that were run."""
    stopped: VmstateError | None
    """Why reading had to stop before the end."""

    @property
    def ok(self) -> bool:
        """Whether no finding is an error."""
        return not any(finding.severity is Severity.ERROR for finding in self.findings)


def examine(
    path: Path, *, deep: bool = False, advance: Callable[[int], object] = lambda _: None
) -> Verdict:
    """Run the checks on a snapshot directory or a state file.

    Whatever is wrong with it is in the verdict, even that it is not there.

    Args:
        deep: Run DEEP_CHECKS too.
        advance: Called on the way with the number of bytes read since the last call.

    Raises:
        HostError: the host failed while it was read.
    """
    sha256 = hashlib.sha256() if path.is_dir() else None  # only a manifest states a digest

    def take(source: ByteSource, start: int, end: int) -> None:
        if sha256 is not None:
            _update(sha256, source, start, end)
        advance(end - start)

    try:
        with open_snapshot(path, on_passed=take, partial=True) as snapshot:
            digest_text = sha256.hexdigest() if sha256 else None
            evidence = Evidence(snapshot=snapshot, sha256=digest_text)
            checks = _choose(deep=deep, stopped=snapshot.stopped is not None)
            findings = [finding for check in checks for finding in CHECKS[check](evidence)]
    except (LocatedError, UsageError) as error:
        return _unreadable(path, error)
    return Verdict(path=path, findings=tuple(findings), checks=checks, stopped=snapshot.stopped)


def _update(sha256: hashlib._Hash, source: ByteSource, start: int, end: int) -> None:
    while start < end:
        window = source.window(start, 1, "file")[: end - start]
        sha256.update(window)
        start += len(window)


def _choose(*, deep: bool, stopped: bool) -> tuple[str, ...]:
    return tuple(
        name
        for name in CHECKS
        if (deep or name not in DEEP_CHECKS) and (not stopped or name in STOPPED_CHECKS)
    )


def _unreadable(path: Path, error: LocatedError | UsageError) -> Verdict:
    if isinstance(error, LocatedError):
        finding = framing.stop_finding(error)
    else:
        finding = Finding(check=framing.NAME, severity=Severity.ERROR, message=str(error))
    return Verdict(path=path, findings=(finding,), checks=(framing.NAME,), stopped=error)
