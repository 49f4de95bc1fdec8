"""A model as three readable files, and how it scores; needs NumPy and XGBoost alone.

`xgboost-model` (UBJSON), `encoder.json` and `model.json`: nothing in them can run code when it is
loaded, and Amazon SageMaker's XGBoost container reads the first one as it is.
"""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

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
class Manifest:
    """What is known about a model; equal for equal data, settings and versions."""

    hyperparameters: dict[str, float]
    trees: int
    threshold: float = 0.5
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

        Raises:
            ModelError: A required column is missing or holds text where numbers belong.
        """
        features = self.encoder.encode(table)
        return np.asarray(self.booster.inplace_predict(features), dtype=np.float64)

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

    @classmethod
    def from_files(cls, files: dict[str, bytes]) -> Self:
        """Read what `files` returned.

        Raises:
            ModelError: A file is missing, damaged, or of a newer format.
        """
        absent = [name for name in FILES if name not in files]
        if absent:
            raise ModelError(f"the model bundle lacks {', '.join(absent)}")

        encoder = Encoder.from_json(files[ENCODER_FILE].decode())
        try:
            manifest = Manifest(**json.loads(files[MANIFEST_FILE]))
            booster = xgboost.Booster(model_file=bytearray(files[BOOSTER_FILE]))
        except (TypeError, ValueError) as error:  # XGBoostError is a ValueError
            raise ModelError(f"the model bundle cannot be read: {error}") from error
        if manifest.format > FORMAT:
            raise ModelError(
                f"the model bundle has format {manifest.format}; this version reads up to {FORMAT}"
            )
        return cls(encoder, booster, manifest)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.files().items():
            (folder / name).write_bytes(content)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a bundle from its folder.

        Raises:
            ModelError: A file is missing, damaged, or of a newer format.
        """
        return cls.from_files(
            {name: (folder / name).read_bytes() for name in FILES if (folder / name).is_file()}
        )
