"""What a release has beside its distributions: an audit, an SBOM and VEX statements."""
