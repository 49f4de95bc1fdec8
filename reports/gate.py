"""The decision of the quality gate as a section, with the comparison that it rests on."""

from bank_marketing.gate import GateDecision
from reports.pages import Section, render_page, render_section


def render_gate(decision: GateDecision) -> str:
    """Return the decision as a page of its own."""
    return render_page("Quality gate", _outcome(decision), gate_section(decision))


def gate_section(decision: GateDecision) -> Section:
    """Return every condition, what was found, and the comparison with the champion."""
    return render_section(
        "gate.html.j2", anchor="gate", title="May it be registered?", decision=decision
    )


def _outcome(decision: GateDecision) -> str:
    return "The candidate may be registered" if decision.passed else "The candidate is rejected"
