from builders import stream as build
from builders.evidence import evidence
from vmstate_tools.checks.device_state import device_state
from vmstate_tools.checks.footers import footers


def test_footers_where_they_belong_are_nothing_to_find() -> None:
    assert list(footers(evidence(build.stream()))) == []


def test_bytes_between_state_and_footer_are_an_error() -> None:
    device = build.Device()
    data = build.stream(devices=(device,))
    longer = data.replace(device.payload, device.payload + b"\xff\xff")
    found = evidence(longer)
    (finding,) = footers(found)
    assert finding.severity.value == "error"
    assert finding.message.startswith('timer#0: 0xff (expected the footer of section 0 "timer"/0)')
    assert finding.offset == longer.index(device.payload) + len(device.payload)
    assert list(device_state(found)) == []  # said once
