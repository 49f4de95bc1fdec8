"""Whether a candidate may be registered: a decision with its evidence."""

from bank_marketing.config import GateSettings, Settings
from bank_marketing.evaluation import Evaluation


class GateCheck(Settings):
    """One condition, what was found, and whether it holds."""

    name: str
    passed: bool
    statement: str


class GateDecision(Settings):
    """Every condition that a candidate was held to."""

    checks: tuple[GateCheck, ...]

    @property
    def failures(self) -> tuple[str, ...]:
        """Every reason why the candidate may not be registered, in words."""
        return tuple(check.statement for check in self.checks if not check.passed)

    @property
    def passed(self) -> bool:
        return not self.failures


def decide(evaluation: Evaluation, gate: GateSettings) -> GateDecision:
    """Hold the test result against the floors and ceilings of the configuration."""
    return GateDecision(
        checks=(
            _at_least("roc_auc", evaluation.metrics["roc_auc"].value, gate.min_roc_auc),
            _at_most("brier", evaluation.metrics["brier"].value, gate.max_brier),
            _at_least("test_rows", evaluation.rows, gate.min_test_rows),
        )
    )


def _at_least(name: str, value: float, floor: float) -> GateCheck:
    passed = value >= floor
    sign = ">=" if passed else "<"
    return GateCheck(name=name, passed=passed, statement=f"{name} {value:.4g} {sign} {floor:g}")


def _at_most(name: str, value: float, ceiling: float) -> GateCheck:
    passed = value <= ceiling
    sign = "<=" if passed else ">"
    return GateCheck(name=name, passed=passed, statement=f"{name} {value:.4g} {sign} {ceiling:g}")
