"""QEMU virtual-machine state: take it, read it, check it, restore it."""

__version__ = "0.1.0"
