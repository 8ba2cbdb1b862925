"""Settings and table policies, from arguments, environment and TOML."""
