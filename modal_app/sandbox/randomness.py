"""Gives a container random numbers of its own: all that come out of one memory snapshot have the same state in it."""

import random
import sys

import numpy as np


def reseed() -> None:
    """Seeds the generators that blocks find in place, those of Python, NumPy and torch, from the system's entropy."""
    random.seed()
    np.random.seed()
    if (torch := sys.modules.get("torch")) is not None:
        torch.default_generator.seed()  # torch.seed() also asks for accelerators, of which a container has none
