"""Measures the chain, client process included, on control planes of its own: `python -m benchmarks`.

Everything that is compared is measured in one run, on the same machine at the same load, and printed with ratios.
"""
