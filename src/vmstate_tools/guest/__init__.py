"""The built-in guest: a bare-metal program whose memory tells its own moment."""
