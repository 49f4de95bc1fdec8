"""The model container of scikit-learn: a user's script, whose `model_fn` loads the model."""

import logging
import sys
from typing import Any

from model_server import has_script, script_model, serve


def _decode(body: Any, content_type: str) -> Any:
    from sagemaker_inference import content_types, decoder

    values = decoder.decode(body, content_type)
    return values.astype("float32") if content_type in content_types.UTF8_TYPES else values


def _predict(data: Any, model: Any) -> Any:
    return model.predict(data)


def main() -> None:
    """Load the model, then answer until SIGTERM."""
    logging.basicConfig(
        format="%(asctime)s %(levelname)s - %(name)s - %(message)s", level=logging.INFO
    )
    if not has_script():
        sys.exit("SAGEMAKER_PROGRAM is not set: a scikit-learn model needs a script with model_fn")
    serve(script_model(_decode, _predict))


if __name__ == "__main__":
    main()
