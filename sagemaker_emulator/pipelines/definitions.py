"""The definition of a pipeline, read and checked before anything runs."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, NamedTuple

from sagemaker_emulator.api import kinds, shapes
from sagemaker_emulator.api.errors import NotEmulated, ValidationException
from sagemaker_emulator.api.records import Kind
from sagemaker_emulator.pipelines.expressions import CONDITIONS, Fields, references

VERSION = "2020-12-01"

# Steps that create a resource, with the member of the step's metadata that holds its ARN.
RESOURCES = {
    "Processing": (kinds.PROCESSING_JOB, "ProcessingJob"),
    "Training": (kinds.TRAINING_JOB, "TrainingJob"),
    "Tuning": (kinds.TUNING_JOB, "TuningJob"),
    "Model": (kinds.MODEL, "Model"),
    "RegisterModel": (kinds.MODEL_PACKAGE, "RegisterModel"),
}
EXECUTION_VARIABLES = {
    "PipelineName",
    "PipelineArn",
    "PipelineExecutionId",
    "PipelineExecutionArn",
    "StartDateTime",
    "CurrentDateTime",
    "TrainingJobName",
    "ProcessingJobName",
}
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Branch(NamedTuple):
    """A side of a Condition step."""

    condition: str
    outcome: bool


@dataclass(frozen=True)
class Step:
    """A step; `needs` are the names of the steps that must have succeeded before it starts."""

    name: str
    type: str
    arguments: Fields
    needs: frozenset[str]
    branch: Branch | None
    property_files: Mapping[str, Fields]
    texts: Mapping[str, str]

    @property
    def kind(self) -> Kind | None:
        """The kind of resource that the step creates, if any."""
        return RESOURCES[self.type][0] if self.type in RESOURCES else None


@dataclass(frozen=True)
class Definition:
    """A checked definition; the steps inside of conditions are among all others."""

    parameters: Sequence[Fields]
    steps: Mapping[str, Step]


def parsed(text: str) -> Definition:
    """Read and check a definition.

    Raises:
        ValidationException: It is not one.
        NotEmulated: It has a step of a type that is not emulated.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise _refusal(f"It is not JSON: {error}.") from error
    if not isinstance(document, dict):
        raise _refusal("Expecting start of Json Object.")
    if document.get("Version") != VERSION:
        raise _refusal(f"Version must be '{VERSION}', got {document.get('Version')!r}.")
    try:
        parameters = document.get("Parameters") or []
        found = [_step(raw, branch) for raw, branch in _flat(document["Steps"], None)]
    except (KeyError, TypeError, AttributeError) as error:
        raise _refusal(f"A step has no or an unusable member {error}.") from error
    steps = {step.name: step for step in found}
    if len(steps) < len(found):
        raise _refusal("Step names must be unique within a pipeline.")
    definition = Definition(parameters, steps)
    for step in found:
        _check(step, definition)
    _require_no_cycle(definition)
    return definition


def _flat(raw_steps: Sequence[Fields], branch: Branch | None) -> Iterator[tuple[Any, Any]]:
    for raw in raw_steps:
        yield raw, branch
        if raw["Type"] == "Condition":
            for side, outcome in (("IfSteps", True), ("ElseSteps", False)):
                inner = raw["Arguments"].get(side) or []
                yield from _flat(inner, Branch(raw["Name"], outcome))


def _step(raw: Fields, branch: Branch | None) -> Step:
    name, arguments = str(raw["Name"]), dict(raw.get("Arguments") or {})
    if raw["Type"] == "Condition":
        arguments = {"Conditions": arguments["Conditions"]}
    read = {path.split(".")[1] for path in references(arguments) if path.startswith("Steps.")}
    before = {branch.condition} if branch else set()
    return Step(
        name,
        raw["Type"],
        arguments,
        frozenset({*(raw.get("DependsOn") or []), *read, *before}),
        branch,
        {each["PropertyFileName"]: each for each in raw.get("PropertyFiles") or []},
        {
            f"Step{member}": raw[member]
            for member in ("DisplayName", "Description")
            if member in raw
        },
    )


def _check(step: Step, definition: Definition) -> None:
    if not _NAME.fullmatch(step.name):
        raise _refusal(f"Step name '{step.name}' must match {_NAME.pattern}.")
    if step.type not in {*RESOURCES, "Condition", "Fail"}:
        raise NotEmulated(f"The step type {step.type} of step '{step.name}'")
    missing = sorted(step.needs - definition.steps.keys())
    if missing:
        raise _refusal(f"Step '{step.name}' refers to steps that do not exist: {missing}.")
    for path in references(step.arguments):
        _check_reference(step, path, definition)
    if step.kind:
        _check_arguments(step, step.kind)
    if step.type == "Condition":
        for condition in step.arguments["Conditions"]:
            _check_condition(condition)


def _check_reference(step: Step, path: str, definition: Definition) -> None:
    root, _, rest = path.partition(".")
    name, _, inner = rest.partition(".")
    known = {
        "Parameters": {each["Name"] for each in definition.parameters},
        "Execution": EXECUTION_VARIABLES,
        "Steps": definition.steps.keys(),
    }
    found = name in known.get(root, ())
    if found and inner.startswith("PropertyFiles."):
        found = inner.removeprefix("PropertyFiles.") in definition.steps[name].property_files
    if not found:
        raise _refusal(f"Step '{step.name}' refers to '{path}', which is not defined.")


def _check_arguments(step: Step, kind: Kind) -> None:
    shape = shapes.operation(f"Create{kind.member}").input_shape
    unknown = next((each for each in step.arguments if each not in shape.members), None)
    if unknown:
        raise _refusal(f"Unknown Argument member '{unknown}'.")


def _check_condition(condition: Fields) -> None:
    type_ = condition.get("Type")
    if type_ not in CONDITIONS:
        raise _refusal(f"Unknown condition type {type_!r}.")
    missing = sorted(CONDITIONS[type_] - condition.keys())
    if missing:
        raise _refusal(f"A condition of type {type_} has no {missing}.")
    inner = condition.get("Conditions") or []
    for each in [*inner, *([condition["Condition"]] if "Condition" in condition else [])]:
        _check_condition(each)


def _require_no_cycle(definition: Definition) -> None:
    graph = {step.name: step.needs for step in definition.steps.values()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise _refusal(f"The steps depend on each other in a cycle: {circle}.") from error


def _refusal(what: str) -> ValidationException:
    return ValidationException(f"Unable to parse pipeline definition. {what}")
