"""The migration stream: bytes to records."""
