"""What `vmstate verify` says, as text, as JSON, and as JUnit XML for a CI system."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

from vmstate_tools.checks.finding import Severity
from vmstate_tools.reports.text import count_text, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vmstate_tools.checks.finding import Finding
    from vmstate_tools.checks.verdict import Verdict

SCHEMA = "vmstate/verify/1"


def as_json(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Make the JSON document."""
    return {"schema": SCHEMA, "files": [_verdict_json(verdict) for verdict in verdicts]}


def as_text(verdicts: Sequence[Verdict]) -> str:
    """Make a line for every snapshot, and below it one for every finding."""
    lines = []
    for verdict in verdicts:
        lines.append(f"{printable(str(verdict.path))}: {_summary(verdict)}")
        lines += [f"  {_finding_text(finding)}" for finding in verdict.findings]
    return "\n".join(lines)


def as_junit(verdicts: Sequence[Verdict]) -> bytes:
    """Make a JUnit report: a test suite for every snapshot, a test case for every check.

    Warnings are no failures; they are the output of their test case.
    """
    root = ET.Element("testsuites", name="vmstate verify")
    for verdict in verdicts:
        failed = {finding.check for finding in verdict.findings if _is_error(finding)}
        suite = ET.SubElement(
            root,
            "testsuite",
            name=printable(str(verdict.path)),
            tests=str(len(verdict.checks)),
            failures=str(len(failed)),
            errors="0",
        )
        for check in verdict.checks:
            _add_case(suite, verdict, check)
    ET.indent(root)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _verdict_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "file": str(verdict.path),
        "ok": verdict.ok,
        "findings": [
            {
                "check": finding.check,
                "severity": finding.severity,
                "offset": finding.offset,
                "message": finding.message,
            }
            for finding in verdict.findings
        ],
    }


def _summary(verdict: Verdict) -> str:
    errors = sum(1 for finding in verdict.findings if _is_error(finding))
    warnings = len(verdict.findings) - errors
    counts = [(errors, "error"), (warnings, "warning")]
    told = ", ".join(count_text(count, noun) for count, noun in counts if count)
    if verdict.ok:
        return f"ok, {told}" if told else f"ok ({count_text(len(verdict.checks), 'check')})"
    return told


def _finding_text(finding: Finding) -> str:
    place = "" if finding.offset is None else f"byte {finding.offset:#x}: "
    return f"{finding.severity}: {finding.check}: {place}{printable(finding.message)}"


def _add_case(suite: ET.Element, verdict: Verdict, check: str) -> None:
    case = ET.SubElement(suite, "testcase", name=check, classname=suite.get("name", ""))
    findings = [finding for finding in verdict.findings if finding.check == check]
    errors = [_finding_text(finding) for finding in findings if _is_error(finding)]
    warnings = [_finding_text(finding) for finding in findings if not _is_error(finding)]
    if errors:
        ET.SubElement(case, "failure", message=errors[0]).text = "\n".join(errors)
    if warnings:
        ET.SubElement(case, "system-out").text = "\n".join(warnings)


def _is_error(finding: Finding) -> bool:
    return finding.severity is Severity.ERROR
