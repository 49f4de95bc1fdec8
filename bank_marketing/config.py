"""What the configuration may say: types and limits, no values.

The values live in `configs/*.yaml`; every one is required, and an unknown key is an error.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bank_marketing.errors import SettingsError
from bank_marketing.schema import LEAKING_COLUMNS

Fraction = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Settings(BaseModel):
    """Base of every section: frozen, and closed to keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SyntheticSettings(Settings):
    """Size and seed of the table that stands in for the real one."""

    rows: Annotated[int, Field(ge=100, le=50_000_000)]
    seed: Seed


class DataSettings(Settings):
    """Where a table comes from when it is made here."""

    synthetic: SyntheticSettings


class ValidationSettings(Settings):
    """How much of a table may be wrong before the run stops."""

    min_rows: Count
    max_rejected_share: Share
    min_positive_share: Share
    max_positive_share: Share


class SplitSettings(Settings):
    """Sizes of the two held-out sets, as fractions of all rows, and how they are drawn."""

    strategy: Literal["random", "temporal"]
    validation: Fraction
    test: Fraction
    seed: Seed

    @model_validator(mode="after")
    def _leave_rows_to_train_on(self) -> Self:
        held_out = self.validation + self.test
        if held_out >= 0.8:
            raise ValueError(f"validation + test must stay below 0.8, got {held_out:.2f}")
        return self


class FeatureSettings(Settings):
    """Which columns a model may read beside the customer's own."""

    economic_indicators: bool

    @model_validator(mode="before")
    @classmethod
    def _refuse_leaks(cls, values: Any) -> Any:
        leaks = LEAKING_COLUMNS.keys() & values if isinstance(values, dict) else ()
        for column in leaks:
            raise ValueError(f"{column!r} can never be a feature: {LEAKING_COLUMNS[column]}")
        return values


class ModelSettings(Settings):
    """Hyperparameters of the gradient-boosted trees, under XGBoost's scikit-learn names."""

    n_estimators: Annotated[int, Field(ge=1, le=10_000)]
    early_stopping_rounds: Count
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    max_depth: Annotated[int, Field(ge=1, le=20)]
    min_child_weight: NonNegative
    gamma: NonNegative
    subsample: Annotated[float, Field(gt=0, le=1)]
    colsample_bytree: Annotated[float, Field(gt=0, le=1)]
    reg_alpha: NonNegative
    reg_lambda: NonNegative
    seed: Seed
    n_jobs: Count


class ThresholdSettings(Settings):
    """What a call costs and what a deposit is worth, in the same currency."""

    cost_per_call: Positive
    value_per_deposit: Positive


class EvaluationSettings(Settings):
    """How the uncertainty of every metric is measured."""

    resamples: Annotated[int, Field(ge=100, le=100_000)]
    confidence: Annotated[float, Field(ge=0.5, lt=1)]
    calibration_bins: Annotated[int, Field(ge=2, le=100)]
    seed: Seed


class GateSettings(Settings):
    """Floors and ceilings that a model must meet on the test set to be registered."""

    min_roc_auc: Fraction
    max_brier: Fraction
    min_test_rows: Count


class RegistrySettings(Settings):
    """Under which name models are registered."""

    model_name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{1,62}$")]


class TrainingSettings(Settings):
    """Everything that can change the outcome of `--pipeline training`."""

    data: DataSettings
    validation: ValidationSettings
    split: SplitSettings
    features: FeatureSettings
    model: ModelSettings
    threshold: ThresholdSettings
    evaluation: EvaluationSettings
    gate: GateSettings
    registry: RegistrySettings


AnySettings = TypeVar("AnySettings", bound=Settings)


def load_settings(
    path: Path, kind: type[AnySettings], overrides: Sequence[str] = ()
) -> AnySettings:
    """Read `path` as `kind`, after applying `section.key=value` overrides.

    Raises:
        SettingsError: The file, an override or a value is not legal; names every offender.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise SettingsError(f"{path} must hold sections like `model:`, got {values!r}")

    for override in overrides:
        _apply(override, values)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise SettingsError(f"{path}: {explain(error)}") from error


def explain(error: ValidationError) -> str:
    """Say in one line what is wrong with each offending key."""
    return "; ".join(
        f"{'.'.join(map(str, detail['loc'])) or 'settings'}: {detail['msg']}"
        for detail in error.errors()
    )


def _apply(override: str, values: dict[str, Any]) -> None:
    key, equals, text = override.partition("=")
    sections = key.strip().split(".")
    if not equals or not all(sections):
        raise SettingsError(f"--set takes section.key=value, got {override!r}")

    target: Any = values
    for section in sections[:-1]:
        target = target.get(section)
        if not isinstance(target, dict):
            raise SettingsError(f"--set {override!r}: there is no section {section!r}")
    try:
        target[sections[-1]] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"--set {override!r}: {text!r} is not a YAML value") from error
