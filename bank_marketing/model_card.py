"""What whoever relies on a model must know of it: measured, or said of its table by the schema.

Source:
    M. Mitchell et al., "Model cards for model reporting", FAT* 2019.
"""

from collections.abc import Iterator
from itertools import chain

from bank_marketing import schema
from bank_marketing.backtest import Backtest, Period
from bank_marketing.bundle import Manifest
from bank_marketing.config import FeatureSettings, Settings
from bank_marketing.dataset import DataOrigin
from bank_marketing.evaluation import Evaluation, wilson_interval
from bank_marketing.gate import GateDecision
from bank_marketing.slices import Slice, Slices
from bank_marketing.validation import ValidationSummary

_CHANCE = 0.5  # the ROC-AUC of a random order
_WEAKEST = 5  # groups that a card shows; the report of the run has all


class ModelCard(Settings):
    """All that is known of one model; `version` is None as long as it has none.

    `provenance` names runs, commit and stack, as the tags of the registered version do.
    """

    name: str
    version: str | None
    manifest: Manifest
    features: FeatureSettings
    origin: DataOrigin
    validation: ValidationSummary
    evaluation: Evaluation
    backtest: Backtest
    slices: Slices
    decision: GateDecision
    provenance: dict[str, str]

    @property
    def title(self) -> str:
        return f"{self.name}, version {self.version}" if self.version else self.name

    @property
    def is_synthetic(self) -> bool:
        return self.origin.origin == "synthetic"

    @property
    def calibration(self) -> str:
        """Return the name of the method that made the probabilities true, or "none"."""
        return self.manifest.calibration.method if self.manifest.calibration else "none"

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the raw columns that the model reads."""
        columns = schema.feature_columns(economic_indicators=self.features.economic_indicators)
        return tuple(column.name for column in columns)

    @property
    def calibrated_bins(self) -> int:
        """Count the bins of the test set whose probability lies within the interval of its share.

        With true probabilities that is, on average, the confidence level times their number.
        """
        return sum(
            each.observed.low <= each.predicted <= each.observed.high
            for each in self.evaluation.calibration
        )

    @property
    def weakest_slices(self) -> tuple[Slice, ...]:
        """Return the judged groups with the lowest ROC-AUC, the weakest first."""
        judged = [(each.figures.roc_auc.value, each) for each in self.slices.slices if each.figures]
        return tuple(each for _, each in sorted(judged, key=lambda pair: pair[0])[:_WEAKEST])

    @property
    def limits(self) -> tuple[str, ...]:
        """Say in words where this model must not be relied on, as far as that was measured."""
        return tuple(
            chain(
                _limits_of_data(self),
                _limits_through_time(self),
                _limits_of_decisions(self.evaluation),
                _limits_of_groups(self.slices),
            )
        )


def _limits_of_data(card: ModelCard) -> Iterator[str]:
    validation = card.validation
    if card.is_synthetic:
        yield (
            "It learned from synthetic customers: its figures say nothing about real ones, and it "
            "is not for real decisions."
        )
    if validation.rejected_rows:
        yield (
            f"{validation.rejected_rows:,} of {validation.rows:,} rows broke a rule of the schema "
            "and were set aside; it knows no such customers."
        )
    for warning in validation.warnings:
        yield f"The data are not quite what the schema says: {warning}."


def _limits_through_time(card: ModelCard) -> Iterator[str]:
    backtest, ours = card.backtest, card.backtest.metrics["roc_auc"]
    test = card.evaluation.metrics["roc_auc"]
    if ours.high < test.low:
        yield (
            f"Through time its ROC AUC is {ours.in_words()}, on the test set {test.in_words()}: "
            "in use, expect the former."
        )
    within = backtest.roc_auc_within_months
    if within is not None and within < ours.low:
        yield (
            f"Between customers of the same month its ROC AUC is {within:.3f}: the rest of what it "
            "reaches through time is telling good months from bad ones."
        )
    for name, metrics in backtest.baselines.items():
        theirs = metrics["roc_auc"]
        if theirs.value >= ours.value:
            yield (
                f"Through time a baseline does no worse: “{name.replace('_', ' ')}” has ROC AUC "
                f"{theirs.in_words()}, this model {ours.in_words()}."
            )
    judged = [period.metrics["roc_auc"] for period in backtest.periods if period.metrics]
    unclear = sum(interval.low <= _CHANCE for interval in judged)
    if unclear:
        yield f"In {unclear} of {len(judged)} months it was not better than chance beyond doubt."
    yield from _drift(card)


def _drift(card: ModelCard) -> Iterator[str]:
    """Say by how much the market moved, if more than chance explains, and what that did."""
    confidence = card.backtest.confidence
    months = [month for month in card.backtest.periods if month.rows >= card.slices.min_rows]
    if not months:
        return
    by_share = sorted(months, key=_share)
    lowest, highest = by_share[0], by_share[-1]
    below, above = (
        wilson_interval(month.positives, month.rows, confidence) for month in (lowest, highest)
    )
    if below.high < above.low:
        yield (
            f"The market moved: {_share(lowest):.1%} subscribed in {_date(lowest)}, "
            f"{_share(highest):.1%} in {_date(highest)}. Probabilities, threshold and profit are "
            "those of the test set's mixture of months."
        )
    through_time = card.backtest.metrics["expected_calibration_error"]
    on_test = card.evaluation.metrics["expected_calibration_error"]
    if through_time.low > on_test.high:
        calibrated = card.calibration != "none"  # the models of the backtest never are
        before, after = (", before calibration", ", after it") if calibrated else ("", "")
        yield (
            f"Its probabilities are off by {through_time.value:.3f} on average through time"
            f"{before}, and by {on_test.value:.3f} on the test set{after}."
        )


def _limits_of_decisions(evaluation: Evaluation) -> Iterator[str]:
    profit = evaluation.metrics["profit"]
    if profit.low <= 0:
        yield (
            "Calling at the threshold may not pay: the profit per customer is "
            f"{profit.in_words('.2f')}."
        )


def _limits_of_groups(slices: Slices) -> Iterator[str]:
    unknown = [f"{each.column} {each.level}" for each in slices.slices if each.figures is None]
    if unknown:
        yield (
            f"Of these groups too few were tested to say how well it works: {', '.join(unknown)}."
        )
    for each in slices.fairness:
        if slices.is_uneven(each):
            yield (
                f"By {each.column}, the group called least is called "
                f"{each.impact_ratio.in_words('.2f')} times as often as the one called most: "
                "less than four fifths, beyond chance."
            )


def _share(month: Period) -> float:
    return month.positives / month.rows


def _date(month: Period) -> str:
    return f"{month.month} of year {month.year}"
