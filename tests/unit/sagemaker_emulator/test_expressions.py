import pytest

from sagemaker_emulator.api.errors import JobError
from sagemaker_emulator.pipelines.expressions import Evaluator, member, parameter_values, references

VALUES = {"Parameters.Count": 3, "Parameters.Rate": 0.5, "Parameters.On": True, "Steps.a.Uri": "s3"}


@pytest.fixture
def evaluator():
    return Evaluator(VALUES.__getitem__, {"s3": '{"a": [{"b.c": 0.5}]}', "text": "no"}.__getitem__)


def get(path):
    return {"Get": path}


def compare(type_, left, right):
    return {"Type": type_, "LeftValue": left, "RightValue": right}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("Output.Outputs['train'].Uri", "s3://train"),
        ('Output.Outputs["test"].Uri', "s3://test"),
        ("Output.Outputs[1].Uri", "s3://test"),
        ("$.Metrics['validation:auc']", 0.5),
    ],
)
def test_members_are_found_by_number_and_by_name(path, expected):
    outputs = [{"OutputName": name, "Uri": f"s3://{name}"} for name in ("train", "test")]
    described = {"Output": {"Outputs": outputs}, "Metrics": {"validation:auc": 0.5}}

    assert member(described, path) == expected


@pytest.mark.parametrize("path", ["x", "a[3]", "a['none']", "a.b", "a[0].b"])
def test_a_path_that_leads_nowhere_is_an_error(path):
    with pytest.raises(JobError, match="there is nothing at"):
        member({"a": [1]}, path)


def test_references_are_found_anywhere():
    joined = {"Std:Join": {"On": "/", "Values": ["s3:/", get("Execution.PipelineName")]}}

    found = list(references({"A": [{"B": get("Steps.a.Uri")}], "C": joined, "D": "Get"}))

    assert found == ["Steps.a.Uri", "Execution.PipelineName"]


def test_values_are_computed_inside_of_others(evaluator):
    joined = {"Std:Join": {"On": "-", "Values": [get("Parameters.On"), get("Parameters.Rate"), 1]}}

    assert evaluator.value({"A": [get("Parameters.Count"), {"B": joined}]}) == {
        "A": [3, {"B": "true-0.5-1"}]
    }


def test_a_value_is_read_from_json_in_s3(evaluator):
    read = {"Std:JsonGet": {"PropertyFile": get("Steps.a.Uri"), "Path": "a[0]['b.c']"}}

    assert evaluator.value(read) == 0.5


def test_a_file_that_is_not_json_is_an_error(evaluator):
    with pytest.raises(JobError, match="text is not JSON"):
        evaluator.value({"Std:JsonGet": {"S3Uri": "text", "Path": "a"}})


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (compare("Equals", get("Parameters.Count"), 3.0), True),
        (compare("Equals", "a", "b"), False),
        (compare("GreaterThan", 3, get("Parameters.Count")), False),
        (compare("GreaterThanOrEqualTo", 3, get("Parameters.Count")), True),
        (compare("LessThan", get("Parameters.Rate"), 1), True),
        (compare("LessThanOrEqualTo", 2, 1), False),
        ({"Type": "In", "QueryValue": "a", "Values": ["b", "a"]}, True),
        ({"Type": "Not", "Condition": {"Type": "In", "QueryValue": 1, "Values": [1]}}, False),
        ({"Type": "Or", "Conditions": [compare("Equals", 1, 2), compare("Equals", 1, 1)]}, True),
        ({"Type": "And", "Conditions": [compare("Equals", 1, 2), compare("Equals", 1, 1)]}, False),
    ],
)
def test_conditions(evaluator, condition, expected):
    assert evaluator.holds(condition) is expected


@pytest.mark.parametrize("left", ["3", True])
def test_values_of_different_types_are_not_compared(evaluator, left):
    with pytest.raises(JobError, match="cannot be compared"):
        evaluator.holds(compare("Equals", left, 3))


def test_parameters_get_their_types():
    declared = [
        {"Name": "a", "Type": "Integer"},
        {"Name": "b", "Type": "Float", "DefaultValue": 0.5},
        {"Name": "c", "Type": "Boolean"},
    ]
    given = [{"Name": "a", "Value": "3"}, {"Name": "c", "Value": "True"}]

    assert parameter_values(declared, given) == {"a": 3, "b": 0.5, "c": True}
