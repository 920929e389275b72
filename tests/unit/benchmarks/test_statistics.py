"""What is said about measured times."""

import pytest

from benchmarks.statistics import Times


@pytest.mark.parametrize(("percent", "value"), [(50, 50), (90, 90), (99, 99), (100, 100), (0, 1)])
def test_a_percentile_is_a_measured_value_that_so_many_do_not_exceed(percent: float, value: float) -> None:
    assert Times.of([float(number) for number in range(100, 0, -1)]).percentile(percent) == value


def test_the_middle_and_the_least_are_shown_with_their_number() -> None:
    shown = str(Times.of([3.0, 1.0, 2.0]))
    assert "p50      2.0" in shown
    assert "min      1.0 ms" in shown
    assert shown.endswith("n 3")
