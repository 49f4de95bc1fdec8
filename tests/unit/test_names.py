"""Names in a shared account."""

import re

import pytest

from platforms.sagemaker.jobs import TRAINING, TUNING
from platforms.sagemaker.names import label, name_of, owner

# https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTrainingJob.html
LEGAL = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ann", "ann"),
        ("Ann.Smith", "ann-smith"),
        (r"CORP\ann", "corp-ann"),
        ("jörg", "jorg"),
        ("__ann__", "ann"),
        ("a-very-long-name-of-a-user", "a-very-long-name-of"),
        ("Анна", ""),
    ],
)
def test_a_label_is_what_every_name_may_hold(text, expected):
    assert label(text) == expected


@pytest.mark.parametrize(
    ("project", "user", "longest", "expected"),
    [
        ("bank-marketing", "ann", 39, "bank-marketing-ann"),
        ("bank-marketing", "ann", 15, "bank-market-ann"),
        ("bank-marketing", "christopher", 15, "bank-ma-christo"),
        ("bank", "christopher", 15, "bank-christophe"),
        ("bank-marketing", "christopher", 11, "bank-chris"),  # no hyphen before the hyphen
    ],
)
def test_project_and_user_are_both_told_however_short_the_name(project, user, longest, expected):
    assert owner({"project": project, "user": user}, longest=longest) == expected


@pytest.mark.parametrize("kind", [TRAINING, TUNING])
def test_a_job_has_a_legal_name_of_a_legal_length(kind):
    tags = {"project": "a-project-of-20-chars", "user": "a-user-of-20-letters"}

    name = name_of(tags, {"what": "ever"}, longest=kind.longest_stem)

    assert LEGAL.fullmatch(name)
    assert len(f"{name}-999") <= kind.longest_name


def test_two_users_who_ask_for_the_same_have_a_job_each():
    request = {"what": "ever"}

    ann, bob = (
        name_of({"project": "bank", "user": user}, request, longest=28) for user in ("ann", "bob")
    )

    assert ann != bob
