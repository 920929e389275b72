"""Brings a stack to what its configuration says, whatever an interrupted run left: `python -m infra.converge VERB`."""
