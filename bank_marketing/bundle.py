"""A model as three readable files, and how it scores; needs NumPy and XGBoost alone.

`xgboost-model` (UBJSON), `encoder.json` and `model.json`: nothing in them can run code when it is
loaded, and Amazon SageMaker's XGBoost container reads the first one as it is.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import xgboost
from numpy.typing import NDArray

from bank_marketing.encoder import Encoder, Table
from bank_marketing.errors import ModelError

# The modules of this package that scoring needs; the others need libraries that it does without.
SCORING_MODULES = ("__init__", "bundle", "encoder", "errors", "schema")

FORMAT = 1

BOOSTER_FILE = "xgboost-model"
ENCODER_FILE = "encoder.json"
MANIFEST_FILE = "model.json"
FILES = (BOOSTER_FILE, ENCODER_FILE, MANIFEST_FILE)


@dataclass(frozen=True)
class Platt:
    """Calibration that stretches and shifts the log-odds: p = logistic(slope m + intercept).

    Raises:
        ModelError: The slope is below 0, which would turn the order of the customers round.

    Source:
        J. Platt, "Probabilistic outputs for support vector machines", Advances in Large Margin
        Classifiers, 1999.
    """

    slope: float
    intercept: float
    method: Literal["platt"] = field(default="platt", init=False)

    def __post_init__(self) -> None:
        if not self.slope >= 0:
            raise ModelError(
                f"the slope of a Platt calibration must be at least 0, not {self.slope}"
            )

    def probability(self, margins: NDArray[np.float64]) -> NDArray[np.float64]:
        # exp(-logaddexp(0, -x)) is the logistic function, without overflow at either end.
        return np.exp(-np.logaddexp(0, -(self.slope * margins + self.intercept)))


@dataclass(frozen=True)
class Isotonic:
    """Calibration by a line through knots, flat beyond the first and the last.

    Raises:
        ModelError: The knots do not rise from left to right, or leave the range from 0 to 1.

    Source:
        B. Zadrozny, C. Elkan, "Transforming classifier scores into accurate multiclass probability
        estimates", KDD 2002.
    """

    margins: tuple[float, ...]
    probabilities: tuple[float, ...]
    method: Literal["isotonic"] = field(default="isotonic", init=False)

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in pairwise(self.margins)) and all(
            a <= b for a, b in pairwise((0, *self.probabilities, 1))
        )
        if not rising or not 0 < len(self.margins) == len(self.probabilities):
            raise ModelError(
                "the knots of an isotonic calibration must be pairs of rising margins and rising "
                f"probabilities, got {len(self.margins)} margins and {len(self.probabilities)} "
                "probabilities"
            )

    def probability(self, margins: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.interp(margins, self.margins, self.probabilities)


@dataclass(frozen=True)
class Manifest:
    """What is known about a model; equal for equal data, settings and versions."""

    hyperparameters: dict[str, float]
    trees: int
    threshold: float = 0.5
    calibration: Platt | Isotonic | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    data_fingerprint: str = ""
    xgboost_version: str = xgboost.__version__
    format: int = FORMAT


@dataclass(frozen=True)
class Bundle:
    """A trained model that scores raw customer rows."""

    encoder: Encoder
    booster: xgboost.Booster
    manifest: Manifest

    def probability(self, table: Table) -> NDArray[np.float64]:
        """Return the probability of the positive class for each raw row, shape (rows,).

        It is calibrated if the manifest holds a calibration, else what the booster says.

        Raises:
            ModelError: A required column is missing or holds text where numbers belong.
        """
        calibration = self.manifest.calibration
        if calibration is not None:
            return calibration.probability(self.margin(table))
        features = self.encoder.encode(table)
        return np.asarray(self.booster.inplace_predict(features), dtype=np.float64)

    def margin(self, table: Table) -> NDArray[np.float64]:
        """Return the log-odds of each raw row before calibration, shape (rows,).

        Raises:
            ModelError: As `probability`.
        """
        features = self.encoder.encode(table)
        margins = self.booster.inplace_predict(features, predict_type="margin")
        return np.asarray(margins, dtype=np.float64)

    def with_evidence(self, **evidence: Any) -> Self:
        """Return the same model with more said about it in its manifest."""
        return replace(self, manifest=replace(self.manifest, **evidence))

    def files(self) -> dict[str, bytes]:
        """Return the content of each of the three files by name."""
        return {
            BOOSTER_FILE: bytes(self.booster.save_raw("ubj")),
            ENCODER_FILE: self.encoder.to_json().encode(),
            MANIFEST_FILE: json.dumps(asdict(self.manifest), indent=1, sort_keys=True).encode(),
        }

    @property
    def checksum(self) -> str:
        """The SHA-256 of its files, in hexadecimal."""
        digest = sha256()
        for name, content in sorted(self.files().items()):
            digest.update(name.encode() + b"\0" + sha256(content).digest())
        return digest.hexdigest()

    @classmethod
    def from_files(cls, files: dict[str, bytes]) -> Self:
        """Read what `files` returned.

        Raises:
            ModelError: A file is missing, damaged, of another model, or of a newer format.
        """
        absent = [name for name in FILES if name not in files]
        if absent:
            raise ModelError(f"the model bundle lacks {', '.join(absent)}")

        try:
            values = json.loads(files[MANIFEST_FILE])
            if values["format"] > FORMAT:  # first, because what else it holds may be new
                raise ModelError(
                    f"the model bundle has format {values['format']}; "
                    f"this version reads up to {FORMAT}"
                )
            manifest = Manifest(**values)
            calibration = _calibration(manifest.calibration)
            encoder = Encoder.from_json(files[ENCODER_FILE].decode())
            booster = xgboost.Booster(model_file=bytearray(files[BOOSTER_FILE]))
        except (KeyError, TypeError, ValueError) as error:  # XGBoostError is a ValueError
            raise ModelError(f"the model bundle cannot be read: {error}") from error
        _require_same_features(booster, encoder)
        return cls(encoder, booster, replace(manifest, calibration=calibration))

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.files().items():
            (folder / name).write_bytes(content)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a bundle from its folder.

        Raises:
            ModelError: As `from_files`.
        """
        return cls.from_files(
            {name: (folder / name).read_bytes() for name in FILES if (folder / name).is_file()}
        )


def _require_same_features(booster: xgboost.Booster, encoder: Encoder) -> None:
    """Refuse an encoder of another model: the trees would read one column as another."""
    trees, columns = booster.feature_names or [], encoder.feature_names
    for number, (read, encoded) in enumerate(zip_longest(trees, columns), start=1):
        if read != encoded:
            raise ModelError(
                f"{ENCODER_FILE} does not belong to {BOOSTER_FILE}: of its {len(columns)} features "
                f"number {number} is {encoded!r}, of the {len(trees)} that the trees read {read!r}"
            )


def _calibration(values: Any) -> Platt | Isotonic | None:
    """Read what `asdict` made of a calibration."""
    match values:
        case None:
            return None
        case {"method": "platt", "slope": slope, "intercept": intercept}:
            return Platt(slope, intercept)
        case {"method": "isotonic", "margins": margins, "probabilities": probabilities}:
            return Isotonic(tuple(margins), tuple(probabilities))
        case _:
            raise ModelError(f"the model bundle holds a calibration that is unknown: {values!r}")
