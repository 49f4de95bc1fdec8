"""How a tuning job chooses hyperparameters: ranges with scales, and the strategies."""

import itertools
import math
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sagemaker_emulator.api.errors import NotEmulated, ValidationException

Hyperparameters = dict[str, str]

# `Auto` is logarithmic for a range that spans this factor; Amazon does not say what it takes.
_AUTO_LOGARITHMIC = 1000
_STARTS = 3


@dataclass(frozen=True)
class Range:
    """The values from `low` to `high`, both among them."""

    name: str
    low: float
    high: float
    scale: str
    whole: bool

    @classmethod
    def of(cls, request: Mapping[str, str], *, whole: bool) -> "Range":
        """Read a range of a request.

        Raises:
            ValidationException: It is empty, or does not fit its scale.
        """
        name, scale = request["Name"], request.get("ScalingType", "Auto")
        try:
            low, high = float(request["MinValue"]), float(request["MaxValue"])
        except ValueError as error:
            raise ValidationException(f"The range of {name} is not numeric: {error}.") from error
        if low > high:
            raise ValidationException(
                f"The range of {name} has MinValue {low} over MaxValue {high}."
            )
        if scale == "Auto":
            spans = low > 0 and high / low >= _AUTO_LOGARITHMIC
            scale = "Logarithmic" if spans else "Linear"
        if scale == "Logarithmic" and low <= 0:
            raise ValidationException(f"Logarithmic scaling of {name} needs a MinValue over 0.")
        if scale == "ReverseLogarithmic" and (whole or low < 0 or high >= 1):
            raise ValidationException(
                f"ReverseLogarithmic scaling of {name} needs a continuous range within [0, 1)."
            )
        return cls(name, low, high, scale, whole)

    def at(self, share: float) -> str:
        """Return the value at a share, from 0 to 1, of the range on its scale."""
        low, high = self.low, self.high + (1 if self.whole else 0)
        if self.scale == "Logarithmic":
            value = low * (high / low) ** share
        elif self.scale == "ReverseLogarithmic":
            value = 1 - (1 - low) * ((1 - high) / (1 - low)) ** share
        else:
            value = low + share * (high - low)
        if self.whole:
            return str(min(math.floor(value), int(self.high)))
        return repr(min(max(value, self.low), self.high))


@dataclass(frozen=True)
class Space:
    """All hyperparameters that are tuned."""

    ranges: Sequence[Range]
    choices: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> "Space":
        """Read the ParameterRanges of a request.

        Raises:
            ValidationException: There are none, or one is not valid.
        """
        if request.get("AutoParameters"):
            raise NotEmulated("tuning with AutoParameters")
        ranges = [
            Range.of(each, whole=member == "IntegerParameterRanges")
            for member in ("ContinuousParameterRanges", "IntegerParameterRanges")
            for each in request.get(member) or []
        ]
        categories = request.get("CategoricalParameterRanges") or []
        choices = {each["Name"]: each["Values"] for each in categories}
        names = [each.name for each in ranges] + [each["Name"] for each in categories]
        if not names or len(set(names)) < len(names):
            raise ValidationException("Hyperparameters to tune must be given, each of them once.")
        return cls(ranges, choices)


class Strategy(ABC):
    """Proposes hyperparameters, and learns how well the proposed ones did."""

    @abstractmethod
    def propose(self) -> Hyperparameters: ...

    def learn(self, number: int, objective: float | None) -> None:  # noqa: B027
        """Take note of the outcome of a proposal, counted from 0; none if it failed."""


class RandomSearch(Strategy):
    def __init__(self, space: Space, seed: int | None) -> None:
        self._space = space
        self._random = random.Random(seed)  # noqa: S311  # not a secret

    def propose(self) -> Hyperparameters:
        numbers = {each.name: each.at(self._random.random()) for each in self._space.ranges}
        choices = {
            name: self._random.choice(values) for name, values in self._space.choices.items()
        }
        return numbers | choices


class GridSearch(Strategy):
    def __init__(self, space: Space) -> None:
        names = list(space.choices)
        self.points = [
            dict(zip(names, values, strict=True))
            for values in itertools.product(*space.choices.values())
        ]
        self._left = iter(self.points)

    def propose(self) -> Hyperparameters:
        return next(self._left)


class BayesianSearch(Strategy):
    """Optuna's tree-structured Parzen estimator, after a few proposals at random."""

    def __init__(self, space: Space, seed: int | None, *, maximize: bool) -> None:
        try:
            import optuna  # heavy, and of use to this strategy alone
        except ImportError as error:
            raise NotEmulated(
                "the strategy Bayesian without Optuna, which `pip install optuna` installs,"
            ) from error
        self._space = space
        self._failed = optuna.trial.TrialState.FAIL
        self._study = optuna.create_study(
            direction="maximize" if maximize else "minimize",
            sampler=optuna.samplers.TPESampler(
                seed=seed, n_startup_trials=_STARTS, constant_liar=True
            ),
        )

    def propose(self) -> Hyperparameters:
        trial = self._study.ask()
        numbers = {
            each.name: each.at(trial.suggest_float(each.name, 0, 1)) for each in self._space.ranges
        }
        choices = {
            name: str(trial.suggest_categorical(name, list(values)))
            for name, values in self._space.choices.items()
        }
        return numbers | choices

    def learn(self, number: int, objective: float | None) -> None:
        if objective is None or not math.isfinite(objective):
            self._study.tell(number, state=self._failed)
        else:
            self._study.tell(number, objective)


def chosen(config: Mapping[str, Any]) -> tuple[Strategy, int]:
    """Return the strategy of a HyperParameterTuningJobConfig, and how many training jobs it takes.

    Raises:
        ValidationException: Strategy, ranges and number do not fit each other.
        NotEmulated: Optuna is missing, or the ranges are to be found by Amazon.
    """
    space = Space.of(config.get("ParameterRanges") or {})
    most, seed = config["ResourceLimits"].get("MaxNumberOfTrainingJobs"), config.get("RandomSeed")
    if config["Strategy"] == "Grid":
        if space.ranges:
            raise ValidationException("Grid search takes categorical hyperparameters only.")
        grid = GridSearch(space)
        if most not in (None, len(grid.points)):
            raise ValidationException(
                f"MaxNumberOfTrainingJobs must be the number of combinations, {len(grid.points)}."
            )
        return grid, len(grid.points)
    if most is None:
        raise ValidationException("MaxNumberOfTrainingJobs is required.")
    if config["Strategy"] == "Random":
        return RandomSearch(space, seed), most
    maximize = config["HyperParameterTuningJobObjective"]["Type"] == "Maximize"
    return BayesianSearch(space, seed, maximize=maximize), most
