"""What must survive a restart of the control plane, in one SQLite file."""
