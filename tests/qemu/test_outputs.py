from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from vmstate_tools.core.errors import UsageError
from vmstate_tools.qemu.options import CommandLine
from vmstate_tools.qemu.outputs import Places, redirect_outputs

PLACES = Places(files=Path("/run"), sockets=Path("/s,k"))


def redirected(words: list[str] | str) -> tuple[list[str], tuple[str, ...]]:
    argv = shlex.split(words) if isinstance(words, str) else words
    line, notes = redirect_outputs(CommandLine.parse(["qemu", *argv]), PLACES)
    return line.to_argv()[1:], notes


@pytest.mark.parametrize(
    "line,expected",
    [
        ("-serial file:/var/log/vm", "-serial file:/run/serial0.log"),
        ("-serial unix:/vm/s,server,nowait", "-serial unix:/s,,k/serial0.sock,server=on,wait=off"),
        ("-serial tcp::4444,server=on", "-serial unix:/s,,k/serial0.sock,server=on,wait=off"),
        ("-serial mon:telnet::4,server", "-serial mon:unix:/s,,k/serial0.sock,server=on,wait=off"),
        ("-serial udp::4444", "-serial null"),
        ("-serial /dev/ttyS0", "-serial null"),
        ("-serial pipe:/vm/p", "-serial null"),
        (
            "-debugcon file:/vm/d -parallel file:/vm/p",
            "-debugcon file:/run/debugcon0.log -parallel file:/run/parallel0.log",
        ),
        (
            "-chardev file,id=c0,path=/vm/c,append=on",
            "-chardev file,id=c0,path=/run/c0.log,append=on",
        ),
        (
            "-chardev socket,id=c0,host=0.0.0.0,port=4444,server=on,telnet=on,mux=on",
            "-chardev socket,id=c0,server=on,mux=on,path=/s,,k/c0.sock,wait=off",
        ),
        (
            "-chardev socket,path=/vm/s,server,wait,id=a/b",
            "-chardev socket,server=on,id=a/b,path=/s,,k/a_b.sock,wait=off",
        ),
        ("-chardev socket,server,path=/vm/s", None),
        ("-chardev pty,id=c,logfile=/vm/l", "-chardev pty,id=c,logfile=/run/c.logfile"),
        ("-chardev udp,id=c0,port=1,mux=on", "-chardev null,id=c0,mux=on"),
        ("-vnc :1,password=on", "-vnc unix:/s,,k/vnc0.sock"),
        ("-vnc localhost:5500,reverse=on", "-vnc none"),
        ("-display vnc=:1", "-display vnc=unix:/s,,k/vnc0.sock"),
        ("-display curses,charset=CP437", "-display none"),
        (
            "-spice port=5930,tls-port=5931,x509-dir=/pki,addr=0.0.0.0,disable-ticketing=on",
            "-spice addr=/s,,k/spice.sock,disable-ticketing=on,unix=on",
        ),
        ("-D /var/log/qemu.log -d int", "-D /run/qemu-debug.log -d int"),
        ("-trace enable=x,file=/vm/t", "-trace x,file=/run/qemu.trace"),
        ("-audiodev wav,id=a", "-audiodev wav,id=a,path=/run/a.wav"),
        (
            "-netdev user,id=n,hostfwd=tcp::2222-:22,hostfwd=udp:127.0.0.1:53-10.0.2.15:53",
            "-netdev user,id=n,hostfwd=tcp::0-:22,hostfwd=udp:127.0.0.1:0-10.0.2.15:53",
        ),
        ("-nic user,model=e1000,hostfwd=:80-:80", "-nic user,model=e1000,hostfwd=:0-:80"),
        ("-netdev socket,id=n,listen=:1234", "-netdev socket,id=n,listen=:0"),
        (
            "-netdev stream,id=n,server=on,addr.type=inet,addr.host=h,addr.port=1",
            "-netdev stream,id=n,server=on,addr.type=inet,addr.host=h,addr.port=0",
        ),
        (
            "-netdev stream,id=n,server=on,addr.type=unix,addr.path=/vm/n",
            "-netdev stream,id=n,server=on,addr.type=unix,addr.path=/s,,k/n.sock",
        ),
        (
            "-object memory-backend-file,id=m,size=1G,mem-path=/vm/ram,share=on",
            "-object memory-backend-file,id=m,size=1G,mem-path=/run/m.memory,share=on",
        ),
        ("-object filter-dump,id=f,file=/vm/p", "-object filter-dump,id=f,file=/run/f.pcap"),
    ],
)
def test_what_the_original_writes_or_listens_on_is_moved(line: str, expected: str | None) -> None:
    words, notes = redirected(line)
    if expected is not None:
        assert words == shlex.split(expected)
    assert any(" is now " in note for note in notes)


@pytest.mark.parametrize(
    "line",
    [
        "-serial stdio -serial mon:stdio -serial chardev:c0 -serial pty -serial none",
        "-serial unix:/vm/client -serial tcp:host:4444",
        "-chardev socket,id=c0,path=/run/swtpm -chardev stdio,id=c1 -chardev vc,id=c2",
        "-vnc none -display gtk -display none",
        "-trace enable=x -audiodev none,id=a",
        "-netdev tap,id=n,ifname=tap0 -netdev user,id=u -netdev stream,id=s,addr.type=unix",
        "-netdev socket,id=n,connect=:1234",
        "-object memory-backend-file,id=m,mem-path=/vm/ram -object rng-random,id=r",
        "-object memory-backend-file,id=m,mem-path=/,share=on -object memory-backend-ram,id=x",
        "-m 64 -cpu max disk.img -append fd=3,x -device virtio-net,netdev=n -serial",
    ],
)
def test_what_is_nobody_elses_stays(line: str) -> None:
    assert redirected(line) == (shlex.split(line), ())


def test_json_stays_json() -> None:
    netdev = {"type": "user", "hostfwd": [{"str": "tcp::2222-:22"}], "id": "n", "ipv6": False}
    words, _ = redirected(["-netdev", json.dumps(netdev)])
    assert json.loads(words[1]) == netdev | {"hostfwd": [{"str": "tcp::0-:22"}]}


def test_serial_ports_get_names_of_their_own() -> None:
    words, _ = redirected("-serial file:a -serial null -serial file:b")
    assert words[1::2] == ["file:/run/serial0.log", "null", "file:/run/serial2.log"]


def test_ways_in_for_others_are_left_out_with_one_note() -> None:
    line = "-m 64 -qmp unix:/vm/q,server=on -monitor stdio -pidfile /run/x.pid -gdb tcp::1 -s"
    assert redirected(line) == (
        ["-m", "64"],
        ("left out: " + line.removeprefix("-m 64 ").replace(" -", ", -"),),
    )


def test_a_character_device_goes_with_its_monitor() -> None:
    words, _ = redirected(
        "-chardev socket,id=charmonitor,fd=26,server=on,wait=off "
        "-mon chardev=charmonitor,id=monitor,mode=control -m 64"
    )
    assert words == ["-m", "64"]


def test_a_character_device_that_a_serial_port_shares_with_a_monitor_stays() -> None:
    words, _ = redirected("-chardev stdio,id=c0,mux=on -serial chardev:c0 -mon chardev=c0")
    assert words == ["-chardev", "stdio,id=c0,mux=on", "-serial", "chardev:c0"]


def test_descriptors_for_logs_are_replaced_by_files() -> None:
    words, _ = redirected(
        "-add-fd set=0,fd=29,opaque=serial0-log "
        "-chardev pty,id=charserial0,logfile=/dev/fdset/0,logappend=on"
    )
    assert words == ["-chardev", "pty,id=charserial0,logfile=/run/charserial0.logfile,logappend=on"]


@pytest.mark.parametrize(
    "line",
    [
        "-netdev tap,fd=30,id=hostnet0,vhost=on,vhostfd=32",
        """-netdev '{"type":"tap","fd":"30","id":"hostnet0"}'""",
        "-chardev socket,id=c0,fd=5",
        "-device vhost-vsock-pci,id=v,guest-cid=3,vhostfd=30",
        "-drive file=/dev/fdset/3",
    ],
)
def test_a_descriptor_that_nobody_has_any_more_is_refused(line: str) -> None:
    with pytest.raises(UsageError, match="descriptor that only the program which"):
        redirected(line)
