"""What everything else stands on: errors, byte sources, atomic writes."""
