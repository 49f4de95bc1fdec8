"""The one page of a training run: the result in words first, then all that stands behind it."""

from bank_marketing.evaluation import Evaluation
from reports.evaluation import evaluated_on, evaluation_section
from reports.pages import Section, render_page


def render_run_report(evaluation: Evaluation, *sections: Section) -> str:
    """Return one HTML document that needs no other file: the evaluation, then `sections`."""
    return render_page(
        "Report of the training run",
        evaluated_on(evaluation),
        evaluation_section(evaluation),
        *sections,
    )
