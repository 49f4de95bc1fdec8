"""Training: raw rows and labels in, a model bundle out."""

from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
import xgboost
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from bank_marketing import schema
from bank_marketing.bundle import Bundle, Manifest
from bank_marketing.config import FeatureSettings, ModelSettings
from bank_marketing.encoder import Encoder
from bank_marketing.errors import ModelError


def labels(frame: pd.DataFrame) -> NDArray[np.int8]:
    """Return the target as 0 and 1, shape (rows,)."""
    return np.asarray(frame[schema.TARGET] == schema.POSITIVE, dtype=np.int8)


class EncodedRows(NamedTuple):
    """Rows as XGBoost reads them, for training where this package is not installed."""

    features: NDArray[np.float32]  # shape (rows, len(names))
    labels: NDArray[np.int8]  # 0 or 1, shape (rows,)
    names: NDArray[np.str_]


def encode(frame: pd.DataFrame, features: FeatureSettings) -> EncodedRows:
    """Encode raw rows with the target."""
    encoder = Encoder.from_schema(economic_indicators=features.economic_indicators)
    return EncodedRows(encoder.encode(frame), labels(frame), np.array(encoder.feature_names))


class TermDepositClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # untyped base
    """Gradient-boosted trees on raw customer rows, as a scikit-learn estimator.

    After `fit`, `bundle_` is the model: what is stored, registered and served.
    """

    def __init__(self, features: FeatureSettings, model: ModelSettings) -> None:
        self.features = features
        self.model = model

    def fit(
        self,
        X: pd.DataFrame,
        y: ArrayLike,
        eval_set: tuple[pd.DataFrame, ArrayLike] | None = None,
    ) -> Self:
        """Train on raw rows and 0/1 labels.

        With `eval_set`, training stops when its log loss has not improved for
        `early_stopping_rounds`, and the best iteration is kept; without it, `n_estimators` trees
        are grown.
        """
        settings = self.model
        encoder = Encoder.from_schema(economic_indicators=self.features.economic_indicators)
        train = _matrix(encoder, X, y, settings)
        watched = (
            []
            if eval_set is None
            else [(_matrix(encoder, *eval_set, settings, reference=train), "validation")]
        )

        booster = xgboost.train(
            booster_parameters(settings),
            train,
            num_boost_round=settings.n_estimators,
            evals=watched,
            early_stopping_rounds=settings.early_stopping_rounds if watched else None,
            verbose_eval=False,
        )
        self.bundle_ = _bundle(encoder, booster, settings)
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the probabilities of 0 and 1, shape (rows, 2)."""
        check_is_fitted(self)
        positive = self.bundle_.probability(X)
        return np.column_stack([1 - positive, positive])

    def predict(self, X: pd.DataFrame) -> NDArray[np.int_]:
        """Return 1 where the positive class is at least as likely as not, shape (rows,)."""
        return (self.predict_proba(X)[:, 1] >= 0.5).astype(int)


def train_bundle(
    train_set: pd.DataFrame,
    validation_set: pd.DataFrame,
    features: FeatureSettings,
    model: ModelSettings,
) -> Bundle:
    """Train on one set and stop early on the other; both hold the target column."""
    classifier = TermDepositClassifier(features, model)
    classifier.fit(train_set, labels(train_set), eval_set=(validation_set, labels(validation_set)))
    return classifier.bundle_


def bundle_of(booster: bytes, features: FeatureSettings, model: ModelSettings) -> Bundle:
    """Return what was trained elsewhere, from `encode`d rows, as a bundle.

    Raises:
        ModelError: It is no model of XGBoost, or reads other features.
    """
    encoder = Encoder.from_schema(economic_indicators=features.economic_indicators)
    try:
        trained = xgboost.Booster(model_file=bytearray(booster))
    except xgboost.core.XGBoostError as error:
        raise ModelError(f"what was trained is no model of XGBoost: {error}") from error
    expected = list(encoder.feature_names)
    if trained.num_features() != len(expected) or trained.feature_names not in (None, expected):
        raise ModelError(
            f"what was trained reads {trained.num_features()} features that are not the "
            f"{len(expected)} of this encoder; train it with the same `features` section"
        )
    trained.feature_names = expected  # text tables carry none
    return _bundle(encoder, trained, model)


def _bundle(encoder: Encoder, booster: xgboost.Booster, model: ModelSettings) -> Bundle:
    if booster.attr("best_iteration") is not None:
        booster = booster[: booster.best_iteration + 1]
    manifest = Manifest(hyperparameters=model.model_dump(), trees=booster.num_boosted_rounds())
    return Bundle(encoder, booster, manifest)


def _matrix(
    encoder: Encoder,
    X: pd.DataFrame,
    y: ArrayLike,
    settings: ModelSettings,
    reference: xgboost.DMatrix | None = None,
) -> xgboost.QuantileDMatrix:
    return xgboost.QuantileDMatrix(
        encoder.encode(X),
        label=np.asarray(y),
        feature_names=list(encoder.feature_names),
        ref=reference,
        nthread=settings.n_jobs,
    )


def booster_parameters(settings: ModelSettings) -> dict[str, Any]:
    """Return the hyperparameters under the names of XGBoost's own interface."""
    return {
        "objective": "binary:logistic",
        "eval_metric": "logloss",
        "tree_method": "hist",
        "learning_rate": settings.learning_rate,
        "max_depth": settings.max_depth,
        "min_child_weight": settings.min_child_weight,
        "gamma": settings.gamma,
        "subsample": settings.subsample,
        "colsample_bytree": settings.colsample_bytree,
        "reg_alpha": settings.reg_alpha,
        "reg_lambda": settings.reg_lambda,
        "seed": settings.seed,
        "nthread": settings.n_jobs,
    }
