"""Requests and answers against Amazon's own description of the API, which ships with botocore."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel, Shape

from sagemaker_emulator.api.errors import NotEmulated, ValidationException


@cache
def service(name: str) -> ServiceModel:
    return ServiceModel(Loader().load_service_model(name, "service-2"))


def operation(name: str) -> OperationModel:
    """Return the description of an operation of SageMaker.

    Raises:
        NotEmulated: SageMaker has no such operation.
    """
    model = service("sagemaker")
    if name not in model.operation_names:
        raise NotEmulated(f"the operation {name!r}")
    return model.operation_model(name)


def validate(name: str, request: Mapping[str, Any]) -> None:
    """Check a request as SageMaker does: what is required, patterns, lengths, ranges, enumerations.

    Raises:
        ValidationException: In Amazon's words, all violations in one message.
    """
    shape = operation(name).input_shape
    found = list(_violations(shape, request, "")) if shape else []
    if found:
        plural = "s" if len(found) > 1 else ""
        raise ValidationException(
            f"{len(found)} validation error{plural} detected: {'; '.join(found)}"
        )


def answer(name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of `fields` the operation answers with, ready to be written as JSON."""
    shape = operation(name).output_shape
    return _serialized(shape, fields) if shape else {}


def _violations(shape: Any, value: Any, path: str) -> Iterator[str]:
    check = _CHECKS.get(shape.type_name)
    if check is not None and isinstance(value, check.type) and not isinstance(value, bool):
        yield from check.violations(shape, value, path)


def _structure_violations(shape: Any, value: Mapping[str, Any], path: str) -> Iterator[str]:
    for name in shape.required_members:
        if value.get(name) is None:
            yield _violation(None, _join(path, name), "Member must not be null")
    for name, member in shape.members.items():
        if value.get(name) is not None:
            yield from _violations(member, value[name], _join(path, name))


def _list_violations(shape: Any, value: list[Any], path: str) -> Iterator[str]:
    yield from _outside(shape, len(value), value, path)
    for number, item in enumerate(value, 1):
        yield from _violations(shape.member, item, f"{path}.{number}.member")


def _map_violations(shape: Any, value: Mapping[str, Any], path: str) -> Iterator[str]:
    yield from _outside(shape, len(value), value, path)
    for key, item in value.items():
        yield from _violations(shape.value, item, f"{path}.{key}.member")


def _number_violations(shape: Any, value: float, path: str) -> Iterator[str]:
    yield from _outside(shape, value, value, path, what="value")


def _string_violations(shape: Any, value: str, path: str) -> Iterator[str]:
    pattern = shape.metadata.get("pattern")
    if pattern and (compiled := _compiled(pattern)) and not compiled.fullmatch(value):
        yield _violation(value, path, f"Member must satisfy regular expression pattern: {pattern}")
    if shape.enum and value not in shape.enum:
        values = ", ".join(shape.enum)
        yield _violation(value, path, f"Member must satisfy enum value set: [{values}]")
    yield from _outside(shape, len(value), value, path)


def _outside(
    shape: Shape, size: float, value: Any, path: str, *, what: str = "length"
) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and size < least:
        yield _violation(value, path, f"Member must have {what} greater than or equal to {least}")
    if most is not None and size > most:
        yield _violation(value, path, f"Member must have {what} less than or equal to {most}")


class _Check(NamedTuple):
    type: type[Any] | tuple[type[Any], ...]
    violations: Callable[[Any, Any, str], Iterator[str]]


_NUMBER = _Check((int, float), _number_violations)
_CHECKS = {
    "structure": _Check(Mapping, _structure_violations),
    "list": _Check(list, _list_violations),
    "map": _Check(Mapping, _map_violations),
    "string": _Check(str, _string_violations),
    **dict.fromkeys(("integer", "long", "float", "double"), _NUMBER),
}


def _violation(value: Any, path: str, constraint: str) -> str:
    shown = "null" if value is None else f"'{value}'"
    return f"Value {shown} at '{path}' failed to satisfy constraint: {constraint}"


def _join(path: str, name: str) -> str:
    first = name[0].lower() + name[1:]
    return f"{path}.{first}" if path else first


@cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern)
    except re.error:
        return None  # about twenty of 466 patterns use Java's \p{L}, which `re` does not know


def _serialized(shape: Any, value: Any) -> Any:
    if isinstance(value, datetime):
        return value.timestamp()
    if shape.type_name == "structure" and isinstance(value, Mapping):
        return {
            name: _serialized(member, value[name])
            for name, member in shape.members.items()
            if value.get(name) is not None
        }
    if shape.type_name == "list":
        return [_serialized(shape.member, item) for item in value]
    if shape.type_name == "map":
        return {key: _serialized(shape.value, item) for key, item in value.items()}
    return value
