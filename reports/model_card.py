"""The model card: one text, as Markdown and as a page."""

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from bank_marketing import schema
from bank_marketing.model_card import ModelCard
from reports.pages import Section, render_page

_TEMPLATES = Environment(
    loader=PackageLoader("reports"),
    autoescape=False,  # noqa: S701  # Markdown: what the page shows of it is escaped below
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_METRICS = {
    "roc_auc": "ROC AUC",
    "pr_auc": "Average precision",
    "alift": "ALIFT",
    "top_tenth": "Subscribers in the best tenth",
    "log_loss": "Log loss",
    "brier": "Brier score",
    "expected_calibration_error": "Calibration error",
    "precision": "Precision at the threshold",
    "recall": "Recall at the threshold",
    "profit": "Profit per customer",
}


def markdown_model_card(card: ModelCard) -> str:
    """Return the card as Markdown with tables; equal cards give equal texts."""
    return f"# {_title(card)}\n\n{_subtitle(card)}\n\n{_body(card)}"


def render_model_card(card: ModelCard) -> str:
    """Return the card as one HTML document that needs no other file; equal cards, equal pages."""
    heading, _, text = _body(card).removeprefix("## ").partition("\n")
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    content = Markup(markdown.render(text))  # noqa: S704  # HTML within the text is escaped
    return render_page(_title(card), _subtitle(card), Section("model-card", heading, content))


def _title(card: ModelCard) -> str:
    return f"Model card: {card.title}"


def _subtitle(card: ModelCard) -> str:
    roc_auc, through_time = (
        each.metrics["roc_auc"].value for each in (card.evaluation, card.backtest)
    )
    return f"ROC AUC {roc_auc:.3f} on the test set, {through_time:.3f} through time"


def _body(card: ModelCard) -> str:
    return _TEMPLATES.get_template("model_card.md.j2").render(
        card=card,
        metrics=_METRICS,
        columns=list(dict.fromkeys(each.column for each in card.slices.slices)),
        intended_use=schema.INTENDED_USE,
        prohibited_use=schema.PROHIBITED_USE,
        excluded=schema.LEAKING_COLUMNS,
        citation=schema.CITATION,
        licence=schema.LICENCE,
    )
