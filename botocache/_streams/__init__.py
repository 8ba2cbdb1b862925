"""Following streams: DynamoDB tells of each change, and the follower evicts."""
