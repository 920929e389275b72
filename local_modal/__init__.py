"""Modal's control plane on the user's own machine, for the unmodified `modal` client."""
