"""The store on Redis Cluster or Valkey Cluster."""
