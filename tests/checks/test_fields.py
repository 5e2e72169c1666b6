from builders import stream as build
from builders.evidence import evidence, told
from vmstate_tools.checks.fields import fields


def field(type_name: str, size: int, **more: object) -> dict[str, object]:
    return {"name": "x", "type": type_name, "size": size} | more


def found(*devices: build.Device) -> list[tuple[str, str]]:
    return told(list(fields(evidence(build.stream(devices=devices)))))


def test_fields_that_can_be_decoded_are_nothing_to_find() -> None:
    assert found(build.Device(), build.Device(idstr="serial", section_id=4)) == []


def test_bytes_that_do_not_fit_their_type_are_an_error_at_their_place() -> None:
    device = build.Device(payload=b"\x01\x02\x03", fields=[field("uint32", 3)])
    data = build.stream(devices=(device,))
    (finding,) = fields(evidence(data))
    assert finding.severity.value == "error"
    assert finding.message == "timer#0::x: 3 bytes (010203) are not of type uint32"
    assert finding.offset == data.index(b"\x01\x02\x03" + build.footer(0))


def test_a_description_that_qemu_does_not_write_is_an_error() -> None:
    device = build.Device(payload=b"\x01", fields=[field("struct", 1, struct=7)])
    ((severity, message),) = found(device)
    assert severity == "error"
    assert message.startswith("timer#0: not an object")


def test_a_device_without_description_has_no_fields() -> None:
    assert list(fields(evidence(build.stream(described=False)))) == []


def test_a_stream_that_has_no_description_of_one_device_goes_on_with_the_others() -> None:
    bad = build.Device(idstr="serial", section_id=4, payload=b"12", fields=[field("uint16", 3)])
    assert found(build.Device(), bad) == []  # its state could not be followed: told elsewhere
