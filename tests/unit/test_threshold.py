import numpy as np
import pytest

from bank_marketing.config import ThresholdSettings
from bank_marketing.threshold import choose_threshold

COSTS = ThresholdSettings(cost_per_call=10, value_per_deposit=30)


def choose(labels: list[int], probabilities: list[float], costs: ThresholdSettings = COSTS):
    return choose_threshold(np.array(labels, dtype=np.int8), np.array(probabilities), costs)


def test_the_most_profitable_threshold_is_found():
    # By falling probability the profit is 20, 40, 30, 50, 40: four calls are best, 50 / 5 = 10 a
    # customer; the threshold lies between 0.4 and 0.1. All five calls bring 40 / 5 = 8.
    threshold = choose([1, 1, 0, 1, 0], [0.9, 0.8, 0.6, 0.4, 0.1])

    assert threshold.probability == pytest.approx(0.25)
    assert threshold.profit_per_customer == pytest.approx(10)
    assert threshold.share_called == pytest.approx(0.8)
    assert threshold.profit_if_all_are_called == pytest.approx(8)


def test_the_order_of_the_rows_does_not_matter():
    assert choose([0, 1, 0, 1, 1], [0.1, 0.4, 0.6, 0.8, 0.9]) == choose(
        [1, 1, 0, 1, 0], [0.9, 0.8, 0.6, 0.4, 0.1]
    )


def test_equal_probabilities_are_called_together():
    # Two of the three at 0.5 subscribe: 2 * 30 - 3 * 10 = 30, more than the 20 of the first alone
    # if ties could be cut; the fourth would cost 10.
    threshold = choose([1, 0, 1, 0], [0.5, 0.5, 0.5, 0.2])

    assert threshold.share_called == pytest.approx(0.75)
    assert threshold.probability == pytest.approx(0.35)


def test_among_equal_profits_the_fewest_calls_win():
    # Profits by falling probability: 20, 10, 0, 20.
    threshold = choose([1, 0, 0, 1], [0.9, 0.5, 0.4, 0.3])

    assert threshold.share_called == pytest.approx(0.25)


def test_nobody_is_called_where_no_call_pays():
    threshold = choose(
        [0, 0, 1], [0.9, 0.8, 0.1], ThresholdSettings(cost_per_call=20, value_per_deposit=30)
    )

    assert threshold.share_called == 0
    assert threshold.profit_per_customer == 0


def test_everybody_is_called_where_every_call_pays():
    threshold = choose([1, 1], [0.9, 0.5])

    assert threshold.share_called == 1
    assert threshold.probability == pytest.approx(0.25)


def test_a_cheaper_call_never_means_fewer_calls(contacts):
    labels = (contacts["y"] == "yes").to_numpy(dtype=np.int8)
    probabilities = np.random.default_rng(5).beta(1, 8, len(labels)) * 0.5 + 0.3 * labels

    shares = [
        choose_threshold(
            labels, probabilities, ThresholdSettings(cost_per_call=cost, value_per_deposit=60)
        ).share_called
        for cost in (30, 10, 3)
    ]

    assert shares == sorted(shares)
