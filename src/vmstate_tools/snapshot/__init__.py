"""Joins stream, ram and device; manifest and pairing. Files only."""
