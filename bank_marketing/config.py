"""What the configuration may say: types and limits, no values.

The values live in `configs/*.yaml`; every one is required, and an unknown key is an error.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from bank_marketing.errors import SettingsError
from bank_marketing.schema import COLUMNS, LEAKING_COLUMNS, TARGET, Categorical


def _no_boolean(value: Any) -> Any:
    """Refuse what pydantic takes for 0 or 1, and YAML writes as `true`, `on` or `yes` as well."""
    if isinstance(value, bool):
        raise ValueError(f"Input should be a number, got {str(value).lower()}")
    return value


Whole = Annotated[int, BeforeValidator(_no_boolean)]
Real = Annotated[float, BeforeValidator(_no_boolean), Field(allow_inf_nan=False)]
Fraction = Annotated[Real, Field(gt=0, lt=1)]
Share = Annotated[Real, Field(ge=0, le=1)]
Positive = Annotated[Real, Field(gt=0)]
NonNegative = Annotated[Real, Field(ge=0)]
Count = Annotated[Whole, Field(ge=1)]
Seed = Annotated[Whole, Field(ge=0, lt=2**31)]
# Columns whose customers can be told apart: `age` by bands, others by category.
SLICED_COLUMNS = (
    "age",
    *(each.name for each in COLUMNS if isinstance(each, Categorical) and each.name != TARGET),
)
TunedName = Literal[
    "learning_rate",
    "max_depth",
    "min_child_weight",
    "gamma",
    "subsample",
    "colsample_bytree",
    "reg_alpha",
    "reg_lambda",
]


class Settings(BaseModel):
    """Base of every section: frozen, and closed to keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SyntheticSettings(Settings):
    """Size and seed of the table that stands in for the real one."""

    rows: Annotated[Whole, Field(ge=100, le=50_000_000)]
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

    n_estimators: Annotated[Whole, Field(ge=1, le=10_000)]
    early_stopping_rounds: Count
    learning_rate: Annotated[Real, Field(gt=0, le=1)]
    max_depth: Annotated[Whole, Field(ge=1, le=20)]
    min_child_weight: NonNegative
    gamma: NonNegative
    subsample: Annotated[Real, Field(gt=0, le=1)]
    colsample_bytree: Annotated[Real, Field(gt=0, le=1)]
    reg_alpha: NonNegative
    reg_lambda: NonNegative
    seed: Seed
    n_jobs: Count


class Range(Settings):
    """Where the search may look for one hyperparameter, both ends included.

    Declared once, for Optuna and for a SageMaker tuning job alike; `scale` says whether steps or
    factors matter.
    """

    name: TunedName
    type: Literal["float", "int"]
    low: NonNegative
    high: NonNegative
    scale: Literal["linear", "log"]

    @model_validator(mode="after")
    def _be_a_range(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got {self.low:g} and {self.high:g}")
        if self.scale == "log" and self.low <= 0:
            raise ValueError(f"a log scale starts above 0, got {self.low:g}")
        return self


class TuningSettings(Settings):
    """How hyperparameters are searched: on the training set only, by cross-validation.

    `backend` is Optuna in the step, or a SageMaker tuning job with a training job for each trial.
    `trials: 0` takes the `model` section as it is. `workers` are processes of one thread, or
    training jobs at a time; Optuna's search is deterministic with one. For Optuna alone: `storage`,
    a database URL that many machines can share, or null for a file of this machine, and
    `starting_points`, which a tuning job cannot be given.
    """

    backend: Literal["optuna", "sagemaker"]
    trials: Annotated[Whole, Field(ge=0, le=100_000)]
    timeout_s: Positive
    folds: Annotated[Whole, Field(ge=2, le=20)]
    metric: Literal["log_loss", "roc_auc"]
    workers: Count
    seed: Seed
    storage: str | None
    search_space: Annotated[tuple[Range, ...], Field(min_length=1)]
    starting_points: tuple[dict[TunedName, NonNegative], ...]

    @field_validator("storage")
    @classmethod
    def _hold_no_secret(cls, storage: str | None) -> str | None:
        if storage is not None and urlsplit(storage).password:
            raise ValueError(
                "a database URL here must hold no password, because settings are recorded; "
                "give it to the driver (PGPASSFILE, PGPASSWORD)"
            )
        return storage

    @model_validator(mode="after")
    def _share_what_can_be_shared(self) -> Self:
        if self.backend == "sagemaker" and self.storage is not None:
            raise ValueError("storage is for backend optuna; SageMaker keeps its trials itself")
        return self

    @model_validator(mode="after")
    def _start_within_the_space(self) -> Self:
        ranges = {each.name: each for each in self.search_space}
        if len(ranges) < len(self.search_space):
            raise ValueError("search_space names a hyperparameter twice")
        for point in self.starting_points:
            for name, value in point.items():
                if name not in ranges or not ranges[name].low <= value <= ranges[name].high:
                    raise ValueError(f"starting point {name}={value:g} is outside search_space")
        return self


class TrainerSettings(Settings):
    """What trains the final model: the step itself, or a SageMaker training job.

    `sagemaker` runs our script in Amazon's XGBoost container, `sagemaker-builtin` Amazon's own
    algorithm.
    """

    backend: Literal["step", "sagemaker", "sagemaker-builtin"]


class CalibrationSettings(Settings):
    """How scores become probabilities; `auto` takes what the validation set likes best.

    `seed` draws the folds of that choice.
    """

    method: Literal["auto", "none", "isotonic", "platt"]
    seed: Seed


class BacktestSettings(Settings):
    """How the past is replayed: train on what was known, score what came next.

    `window_rows` is the size of the sliding window; `retrain_rows: null` retrains every month.
    `label_delay_months` is how long the answers of a month stay unknown. Retraining as rarely is
    enough as surely loses no more than `max_roc_auc_loss` against every month.
    """

    strategy: Literal["sliding", "expanding"]
    window_rows: Count
    min_train_rows: Count
    retrain_rows: Count | None
    label_delay_months: Annotated[Whole, Field(ge=0, le=24)]
    max_roc_auc_loss: Share


class SliceSettings(Settings):
    """Groups of customers that are judged apart; `age` is cut into bands at `age_bands`.

    `sensitive` columns are those for which fairness figures are reported.
    """

    columns: tuple[str, ...]
    sensitive: tuple[str, ...]
    age_bands: Annotated[tuple[Whole, ...], Field(min_length=1)]
    min_rows: Count
    min_positives: Count

    @field_validator("columns", "sensitive")
    @classmethod
    def _have_levels(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        for column in columns:
            if column not in SLICED_COLUMNS:
                raise ValueError(
                    f"{column!r} has no levels; choose from {', '.join(SLICED_COLUMNS)}"
                )
        return columns

    @model_validator(mode="after")
    def _bands_ascend(self) -> Self:
        if list(self.age_bands) != sorted(set(self.age_bands)):
            raise ValueError(f"age_bands must ascend, got {list(self.age_bands)}")
        return self


class ExplanationSettings(Settings):
    """How many customers the explanation of the model is about."""

    max_rows: Count
    seed: Seed


class ThresholdSettings(Settings):
    """What a call costs and what a deposit is worth, in the same currency."""

    cost_per_call: Positive
    value_per_deposit: Positive


class EvaluationSettings(Settings):
    """How the uncertainty of every metric is measured."""

    resamples: Annotated[Whole, Field(ge=100, le=100_000)]
    confidence: Annotated[Real, Field(ge=0.5, lt=1)]
    calibration_bins: Annotated[Whole, Field(ge=2, le=100)]
    seed: Seed


class GateSettings(Settings):
    """What a model must meet to be registered.

    Floors and ceilings hold on the test set, `min_backtest_roc_auc` through time. Against the
    champion, on the same test rows: worse by more than `max_roc_auc_loss` must be ruled out with
    `confidence`, and no slice may lose more than `max_slice_roc_auc_loss` beyond chance. A model
    of synthetic data is for this machine alone, unless `allow_synthetic_data` says otherwise.
    """

    min_roc_auc: Fraction
    max_brier: Fraction
    min_test_rows: Count
    min_backtest_roc_auc: Fraction
    confidence: Annotated[Real, Field(ge=0.5, lt=1)]
    max_roc_auc_loss: Share
    max_slice_roc_auc_loss: Share
    allow_synthetic_data: bool


class RegistrySettings(Settings):
    """Under which name models are registered."""

    model_name: Annotated[str, Field(pattern=r"^[a-z](-*[a-z0-9]){1,62}$")]


class TrainingSettings(Settings):
    """Everything that can change the outcome of `--pipeline training`."""

    data: DataSettings
    validation: ValidationSettings
    split: SplitSettings
    features: FeatureSettings
    model: ModelSettings
    tuning: TuningSettings
    training: TrainerSettings
    calibration: CalibrationSettings
    threshold: ThresholdSettings
    evaluation: EvaluationSettings
    slices: SliceSettings
    explanation: ExplanationSettings
    backtest: BacktestSettings
    gate: GateSettings
    registry: RegistrySettings


# Bytes that are no text, and dates that are in no calendar, are a ValueError.
_NOT_YAML = (yaml.YAMLError, ValueError)

AnySettings = TypeVar("AnySettings", bound=Settings)


def load_settings(
    path: Path, kind: type[AnySettings], overrides: Sequence[str] = ()
) -> AnySettings:
    """Read `path` as `kind`, after applying `section.key=value` overrides.

    Raises:
        SettingsError: The file, an override or a value is not legal; names every offender.
    """
    values = read_values(path)
    for override in overrides:
        _apply(override, values)
    return parse_settings(values, path, kind)


def read_values(path: Path) -> dict[str, Any]:
    """Return what a YAML file says, before it is known to be legal.

    Raises:
        SettingsError: The file cannot be read, or has no sections.
    """
    try:
        values = _read_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    except _NOT_YAML as error:
        raise SettingsError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise SettingsError(f"{path} must hold sections like `model:`, got {values!r}")
    return values


def parse_settings(values: dict[str, Any], path: Path, kind: type[AnySettings]) -> AnySettings:
    """Return the values of the file `path` as `kind`.

    Raises:
        SettingsError: A value is not legal; names every offender.
    """
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


def _read_yaml(text: str) -> Any:
    return _KeysOnce(text).get_single_data()


class _KeysOnce(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping: PyYAML would drop the first without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} stands twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _apply(override: str, values: dict[str, Any]) -> None:
    key, equals, text = override.partition("=")
    sections = key.strip().split(".")
    if not equals or not all(sections):
        raise SettingsError(f"--set takes section.key=value, got {override!r}")
    if len(sections) == 1 and sections[0] not in values:
        raise SettingsError(f"--set {override!r}: {_no_section(sections[0], values)}")

    target: Any = values
    for section in sections[:-1]:
        target = target.get(section)
        if not isinstance(target, dict):
            raise SettingsError(f"--set {override!r}: there is no section {section!r}")
    try:
        target[sections[-1]] = _read_yaml(text)
    except _NOT_YAML as error:
        raise SettingsError(f"--set {override!r}: {text!r} is not a YAML value") from error


def _no_section(key: str, values: dict[str, Any]) -> str:
    homes = [
        f"{section}.{key}"
        for section, keys in values.items()
        if isinstance(keys, dict) and key in keys
    ]
    question = f"; did you mean {' or '.join(homes)}?" if homes else ""
    return f"there is no section {key!r}{question}"
