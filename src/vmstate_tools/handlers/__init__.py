"""Handlers beside `ram` that no vmsd describes: their payloads walked, and what they hold."""
