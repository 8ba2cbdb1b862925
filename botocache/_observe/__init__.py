"""What the cache did, for people: metrics, posts, the overview, doctor and report."""
