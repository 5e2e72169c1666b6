"""Device sections: payload bytes and their description to named values."""
