"""Gets a Pulumi CLI: the one on PATH, else the official release, else one built from its Go modules."""
