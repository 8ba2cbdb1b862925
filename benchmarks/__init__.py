"""Programs that measure; each says of itself what, and how it is run."""
