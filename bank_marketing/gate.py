"""Whether a candidate may be registered: a decision with its evidence."""

from bank_marketing.backtest import Backtest
from bank_marketing.champion import ChampionComparison
from bank_marketing.comparison import Verdict, not_worse
from bank_marketing.config import GateSettings, Settings
from bank_marketing.dataset import DataOrigin
from bank_marketing.evaluation import Evaluation
from bank_marketing.slices import no_slice_lost


class GateCheck(Settings):
    """One condition, what was found, and whether it holds."""

    name: str
    passed: bool
    statement: str


class GateDecision(Settings):
    """Every condition that a candidate was held to, with the comparison behind some of them."""

    checks: tuple[GateCheck, ...]
    comparison: ChampionComparison | None

    @property
    def failures(self) -> tuple[str, ...]:
        """Every reason why the candidate may not be registered, in words."""
        return tuple(check.statement for check in self.checks if not check.passed)

    @property
    def passed(self) -> bool:
        return not self.failures


def decide(
    evaluation: Evaluation,
    backtest: Backtest,
    comparison: ChampionComparison | None,
    origin: DataOrigin,
    gate: GateSettings,
    *,
    only_here: bool,
) -> GateDecision:
    """Hold a candidate against the limits of the configuration, and against the champion.

    Args:
        evaluation: The result on the test set.
        backtest: The result through time.
        comparison: With the champion; None if there is none yet.
        origin: The data that the candidate was trained on.
        gate: The limits.
        only_here: Whether the registry is one of this machine, that nobody else sees.
    """
    checks = [
        _at_least("roc_auc", evaluation.metrics["roc_auc"].value, gate.min_roc_auc),
        _at_most("brier", evaluation.metrics["brier"].value, gate.max_brier),
        _at_least("test_rows", evaluation.rows, gate.min_test_rows),
        _at_least("backtest_roc_auc", backtest.metrics["roc_auc"].value, gate.min_backtest_roc_auc),
        _real_data(origin, allowed=only_here or gate.allow_synthetic_data),
    ]
    if comparison is not None:
        checks += _against_champion(comparison, gate)
    return GateDecision(checks=tuple(checks), comparison=comparison)


def _against_champion(comparison: ChampionComparison, gate: GateSettings) -> list[GateCheck]:
    return [
        _holds(
            "champion",
            not_worse(
                comparison.overall.roc_auc,
                margin=gate.max_roc_auc_loss,
                confidence=gate.confidence,
            ),
        ),
        _holds(
            "slices",
            no_slice_lost(
                comparison.slices,
                margin=gate.max_slice_roc_auc_loss,
                confidence=gate.confidence,
            ),
        ),
    ]


def _holds(name: str, verdict: Verdict) -> GateCheck:
    return GateCheck(name=name, passed=verdict.holds, statement=verdict.statement)


def _real_data(origin: DataOrigin, *, allowed: bool) -> GateCheck:
    passed = allowed or origin.origin != "synthetic"
    statement = f"data_source {origin.origin}"
    if not passed:
        statement += " is not for a registry that others see (gate.allow_synthetic_data)"
    return GateCheck(name="data_source", passed=passed, statement=statement)


def _at_least(name: str, value: float, floor: float) -> GateCheck:
    passed = value >= floor
    sign = ">=" if passed else "<"
    return GateCheck(name=name, passed=passed, statement=f"{name} {value:.4g} {sign} {floor:g}")


def _at_most(name: str, value: float, ceiling: float) -> GateCheck:
    passed = value <= ceiling
    sign = "<=" if passed else ">"
    return GateCheck(name=name, passed=passed, statement=f"{name} {value:.4g} {sign} {ceiling:g}")
