"""An explorer of schedules: every interleaving of small programs, on the real code."""
