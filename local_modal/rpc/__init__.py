"""Modal's RPCs, one module for each family of calls; what isn't served is named in the answer and counted."""
