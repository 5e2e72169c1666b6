"""The protocol side of driving one QEMU: process, QMP session, features."""
