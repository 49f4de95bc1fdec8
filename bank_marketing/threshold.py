"""Whom to call: the probability above which a call is expected to pay."""

import numpy as np
from numpy.typing import NDArray

from bank_marketing.config import Settings, ThresholdSettings


class Threshold(Settings):
    """A decision threshold and what it is expected to bring, in the currency of the costs."""

    probability: float
    profit_per_customer: float
    share_called: float
    profit_if_all_are_called: float


def choose_threshold(
    labels: NDArray[np.int8], probabilities: NDArray[np.float64], costs: ThresholdSettings
) -> Threshold:
    """Find the threshold with the highest profit; customers at or above it are called.

    Profit per customer = (value_per_deposit * subscribers called - cost_per_call * calls) / n.
    The threshold lies half-way to the next lower probability, so that the last bits of a
    probability never decide; among equal profits the fewest calls win.

    Args:
        labels: 0 or 1, shape (n,), n >= 1.
        probabilities: Of class 1, shape (n,), in [0, 1].
        costs: Cost of a call and value of a deposit.
    """
    order = np.argsort(-probabilities, kind="stable")
    descending = probabilities[order]
    n = len(descending)
    calls = np.arange(1, n + 1)
    profit = (costs.value_per_deposit * np.cumsum(labels[order]) - costs.cost_per_call * calls) / n

    last_of_ties = np.append(descending[1:] < descending[:-1], True)
    candidates = np.flatnonzero(last_of_ties)
    best = candidates[np.argmax(profit[candidates])]
    if profit[best] < 0:
        return Threshold(
            probability=1.0,
            profit_per_customer=0.0,
            share_called=0.0,
            profit_if_all_are_called=float(profit[-1]),
        )
    next_lower = descending[best + 1] if best + 1 < n else 0.0
    return Threshold(
        probability=float((descending[best] + next_lower) / 2),
        profit_per_customer=float(profit[best]),
        share_called=float(calls[best] / n),
        profit_if_all_are_called=float(profit[-1]),
    )
