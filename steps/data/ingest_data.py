from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import pandas as pd
from zenml import log_metadata, step

from bank_marketing.dataset import DataOrigin, DataSource
from platforms.data_sources import load


@step
def ingest_data(
    source: DataSource,
) -> tuple[
    Annotated[pd.DataFrame, "raw_data"],
    Annotated[pd.DataFrame, "unreadable_rows"],
    Annotated[DataOrigin, "data_origin"],
]:
    """Read the table and record where it came from."""
    with TemporaryDirectory() as folder:  # for a table that has to be fetched first
        table = load(source, Path(folder), progress=lambda *_: None)
    raw_data, unreadable_rows = table.frame, table.unreadable
    data_origin = DataOrigin.of(source, table)
    log_metadata({"data": data_origin.model_dump()})
    return raw_data, unreadable_rows, data_origin
