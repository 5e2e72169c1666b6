"""Prepares what the tests run and nobody should install: a newer QEMU, a real Linux guest.

Everything comes from the machine's own Debian mirror, is unpacked into a cache folder and never
installed. Standard library only: this runs before anything else is there.
"""
