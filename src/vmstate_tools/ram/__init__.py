"""The `ram` section: page records to a page index."""
