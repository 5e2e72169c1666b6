"""One check per module; each yields findings."""
