"""A coverage-guided search for bytes that the reader does not survive."""
