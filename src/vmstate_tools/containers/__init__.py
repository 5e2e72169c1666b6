"""What a stream can be wrapped in, told apart by content."""
