"""What a pipeline's definition computes: parameters, references, functions and conditions."""

import json
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sagemaker_emulator.api.errors import JobError, ValidationException

Fields = Mapping[str, Any]

_PART = re.compile(r"""\.?([^.\[\]]+)|\[['"]([^'"]*)['"]\]|\[(\d+)\]""")

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "Equals": operator.eq,
    "GreaterThan": operator.gt,
    "GreaterThanOrEqualTo": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqualTo": operator.le,
}
# What a condition of each type must have.
CONDITIONS = {
    **{type_: {"LeftValue", "RightValue"} for type_ in _COMPARISONS},
    "In": {"QueryValue", "Values"},
    "Not": {"Condition"},
    "And": {"Conditions"},
    "Or": {"Conditions"},
}


def parameter_values(declared: Sequence[Fields], given: Sequence[Fields]) -> dict[str, Any]:
    """Return the value of every parameter of a pipeline by its name.

    Raises:
        ValidationException: One is unknown, missing, of another type, or not of its enumeration.
    """
    texts = {each["Name"]: each["Value"] for each in given}
    unknown = sorted(texts.keys() - {each["Name"] for each in declared})
    if unknown:
        raise ValidationException(f"Pipeline parameters {unknown} are not defined in the pipeline.")
    return {each["Name"]: _parameter(each, texts.get(each["Name"])) for each in declared}


def _parameter(declared: Fields, text: str | None) -> Any:
    name, type_ = declared["Name"], declared["Type"]
    value = declared.get("DefaultValue") if text is None else _typed(name, type_, text)
    if value is None:
        raise ValidationException(f"Pipeline parameter [{name}] has no default and was not given.")
    allowed = declared.get("EnumValues")
    if allowed and value not in allowed:
        raise ValidationException(f"Value {value!r} of parameter [{name}] is not in {allowed}.")
    return value


def _typed(name: str, type_: str, text: str) -> Any:
    try:
        return _TYPES[type_](text)
    except (KeyError, ValueError) as error:
        raise ValidationException(
            f"Value '{text}' of parameter [{name}] is not of type {type_}."
        ) from error


_TYPES: dict[str, Callable[[str], Any]] = {
    "String": str,
    "Integer": int,
    "Float": float,
    "Boolean": lambda text: {"true": True, "false": False}[text.lower()],
}


def references(value: Any) -> Iterator[str]:
    """Return every path, such as `Parameters.Count`, that is read anywhere in `value`."""
    if isinstance(value, Mapping):
        if set(value) == {"Get"}:
            yield str(value["Get"])
        else:
            yield from references(list(value.values()))
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def member(value: Any, path: str) -> Any:
    """Return what is in `value` at a path such as `Outputs['train'].S3Output.S3Uri`.

    An item of a list is found by its number, or by its member that is called a name.

    Raises:
        JobError: There is nothing.
    """
    found = value
    for dotted, quoted, number in _PART.findall(path.removeprefix("$")):
        try:
            found = found[int(number)] if number else _named(found, dotted or quoted)
        except (KeyError, IndexError, TypeError, StopIteration) as error:
            raise JobError(f"ClientError: there is nothing at '{path}'") from error
    return found


def _named(value: Any, name: str) -> Any:
    if isinstance(value, list):
        return next(
            item
            for item in value
            if name in [item[member] for member in item if member.endswith("Name")]
        )
    return value[name]


def as_text(value: Any) -> str:
    """Write a value as AWS joins it into a text."""
    return value if isinstance(value, str) else json.dumps(value)


@dataclass(frozen=True)
class Evaluator:
    """Computes values and conditions.

    Args:
        get: Returns what a path such as `Steps.train.ModelArtifacts` refers to; for a property
            file, its address in S3.
        read: Returns the text of an object in S3.
    """

    get: Callable[[str], Any]
    read: Callable[[str], str]

    def value(self, expression: Any) -> Any:
        """Return an expression, and all that is in it, computed.

        Raises:
            JobError: A reference leads nowhere.
        """
        if isinstance(expression, list):
            return [self.value(each) for each in expression]
        if not isinstance(expression, Mapping):
            return expression
        functions: dict[str, Callable[[Any], Any]] = {
            "Get": self.get,
            "Std:Join": self._join,
            "Std:JsonGet": self._json_get,
        }
        if len(expression) == 1:
            ((name, argument),) = expression.items()
            if name in functions:
                return functions[name](argument)
        return {name: self.value(each) for name, each in expression.items()}

    def holds(self, condition: Fields) -> bool:
        """Tell whether a condition of a Condition step is true.

        Raises:
            JobError: A reference leads nowhere, or values of different types are compared.
        """
        type_ = condition["Type"]
        if type_ == "Not":
            return not self.holds(condition["Condition"])
        if type_ in ("And", "Or"):
            together = all if type_ == "And" else any
            return together(self.holds(each) for each in condition["Conditions"])
        if type_ == "In":
            return self.value(condition["QueryValue"]) in self.value(condition["Values"])
        left, right = self.value(condition["LeftValue"]), self.value(condition["RightValue"])
        if _sort(left) != _sort(right):
            raise JobError(f"ClientError: {left!r} and {right!r} cannot be compared")
        return _COMPARISONS[type_](left, right)

    def _join(self, argument: Fields) -> str:
        values = self.value(argument["Values"])
        return str(argument.get("On", "")).join(as_text(each) for each in values)

    def _json_get(self, argument: Fields) -> Any:
        uri = self.value(argument.get("PropertyFile") or argument["S3Uri"])
        try:
            document = json.loads(self.read(uri))
        except ValueError as error:
            raise JobError(f"ClientError: {uri} is not JSON: {error}") from error
        return member(document, argument["Path"])


def _sort(value: Any) -> type:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float if number else type(value)
