"""What every test stands on."""

from hypothesis import settings

settings.register_profile("ci", derandomize=True, max_examples=300, deadline=None)
settings.load_profile("ci")
