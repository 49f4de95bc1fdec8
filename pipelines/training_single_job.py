from zenml import pipeline
from zenml.config.cache_policy import CachePolicy

from bank_marketing.champion import Champion
from bank_marketing.config import TrainingSettings
from bank_marketing.dataset import DataSource
from pipelines.code_version import code_version
from pipelines.training import training


@pipeline(dynamic=True, cache_policy=CachePolicy(cache_func=code_version))
def training_single_job(
    source: DataSource, champion: Champion | None, settings: TrainingSettings
) -> None:
    """Take the steps of `training` one after the other, in one job instead of one each."""
    training.entrypoint(source, champion, settings)
