"""From inputs to containers and back: pools of single-use containers, time limits, cancellation, answers."""
