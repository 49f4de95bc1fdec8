"""Registered versions, as a terminal shows them."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Column, Table
from rich.tree import Tree

from platforms.base import ModelPackage, ModelVersion, RunFacts
from registry.history import HISTORY, Event, approval, history

if TYPE_CHECKING:
    from registry.ancestry import Ancestry

# The two figures that stand together everywhere, by the names of their columns.
ROC_AUC = {
    "ROC-AUC, test set": "test_roc_auc",
    "ROC-AUC, through time": "backtest_roc_auc",
}
BOUNDS = ("_low", "_high")

# What decides which rows a version was tested on, beside the data.
DRAWN_BY = ("split.", "validation.")

Pair = tuple[ModelVersion, ModelVersion]
FactsPair = tuple[RunFacts, RunFacts]


def overview(
    name: str,
    versions: Iterable[tuple[ModelVersion, RunFacts]],
    packages: Mapping[str, ModelPackage],
) -> Table:
    """One line for each version; `packages` of SageMaker by number, if there are any."""
    table = Table("version", "aliases", "approved", *ROC_AUC, "created (UTC)", "data", "run")
    table.title = name
    if packages:
        table.add_column("SageMaker")
    for version, facts in versions:
        approved = approval(version)
        cells = [
            version.version,
            ", ".join(version.aliases),
            f"by {approved.who}" if approved else "no",
            *(_metric(facts, metric, digits=3) for metric in ROC_AUC.values()),
            version.created[:16].replace("T", " "),
            version.tags.get("data_source", ""),
            version.tags.get("zenml_run_name", ""),
        ]
        if version.version in packages:
            cells.append(_package(packages[version.version]))
        table.add_row(*cells)
    return table


def details(version: ModelVersion, facts: RunFacts, package: ModelPackage | None) -> Table:
    """All that is known of a version but its history."""
    table = Table(
        Column(),
        Column(overflow="fold"),  # whole URIs, to be copied
        show_header=False,
        title=f"{version.name} version {version.version}",
    )
    rows = {
        "aliases": ", ".join(version.aliases),
        "created": version.created,
        "bundle": version.bundle_uri,
        "mlflow_run_id": version.run_id,
        **({"sagemaker": _package(package)} if package else {}),
        **dict(sorted(version.tags.items())),
        **{name: _metric(facts, name) for name in _with_intervals(facts)},
    }
    for name, value in rows.items():
        if name != HISTORY:
            table.add_row(name, escape(value))
    return table


def events(version: ModelVersion) -> Table:
    """What happened to a version, oldest first."""
    table = Table("when (UTC)", "what", "who", Column("why", overflow="fold"), title="History")
    for event in history(version):
        table.add_row(_time(event), _what(event), escape(event.who), escape(event.because))
    return table


def in_words(event: Event) -> str:
    """Say in one line what happened."""
    return f"{_what(event)} by {event.who} on {_time(event)} UTC: {event.because}"


def lineage_tree(ancestry: "Ancestry") -> Tree:
    """Draw what a version came from, each part below what it went into."""
    aliases = f" ({', '.join(ancestry.aliases)})" if ancestry.aliases else ""
    root = Tree(f"{ancestry.name} version {ancestry.version}{aliases}, {ancestry.created}")
    if ancestry.sagemaker_model_package_arn:
        root.add(f"SageMaker model package {ancestry.sagemaker_model_package_arn}")
    bundle = root.add(escape(f"bundle {ancestry.bundle_uri}"))
    mlflow_run = bundle.add(f"MLflow run {ancestry.mlflow_run_id} ({ancestry.mlflow_run_name})")
    zenml_run = mlflow_run.add(f"ZenML run {ancestry.zenml_run_id} ({ancestry.zenml_run_name})")
    zenml_run.add(f"stack {ancestry.stack}")
    zenml_run.add(f"git commit {ancestry.git_commit}")
    data = zenml_run.add(escape(f"data {ancestry.data.source} {ancestry.data.uri or ''}"))
    data.add(f"edition {ancestry.data.edition or 'not recorded'}")
    data.add(f"sha256 {ancestry.data.sha256}")
    data.add(f"fingerprint {ancestry.data.fingerprint}")
    data.add(f"rows {ancestry.data.rows:,}" if ancestry.data.rows else "rows not recorded")
    parameters = mlflow_run.add("parameters")
    for name, value in ancestry.parameters.items():
        parameters.add(escape(f"{name} = {value}"))
    judged = root.add("judged against" if ancestry.parents else "judged against nobody")
    for parent in ancestry.parents:
        judged = judged.add(f"version {parent}")
    return root


def comparison(versions: Pair, facts: FactsPair) -> Iterator[RenderableType]:
    """Show metrics side by side, then what differs, and how far that can be trusted."""
    metrics = dict.fromkeys(name for run in facts for name in _with_intervals(run))
    yield _side_by_side(
        "Metrics",
        versions,
        {name: (_metric(facts[0], name), _metric(facts[1], name)) for name in metrics},
    )
    yield _side_by_side(
        "Parameters that differ",
        versions,
        _differences(facts[0].parameters, facts[1].parameters),
    )
    yield _side_by_side("Data that differs", versions, _differences(*map(_data, versions, facts)))
    yield _caution(versions, facts)


def _side_by_side(
    title: str, versions: Pair, rows: Mapping[str, tuple[str, str]]
) -> RenderableType:
    if not rows:
        return f"{title}: none"
    headers = [f"version {version.version}" for version in versions]
    table = Table("", *(Column(header, overflow="fold") for header in headers), title=title)
    for name, values in rows.items():
        table.add_row(name, *map(escape, values))
    return table


def _differences(a: Mapping[str, str], b: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    pairs = {name: (a.get(name, ""), b.get(name, "")) for name in sorted(a.keys() | b.keys())}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _data(version: ModelVersion, facts: RunFacts) -> dict[str, str]:
    return {
        "source": version.tags["data_source"],
        "uri": facts.data_uri or "",
        "edition": version.tags.get("data_edition", ""),
        "sha256": version.tags["data_sha256"],
        "fingerprint": version.tags["data_fingerprint"],
        "rows": str(facts.data_rows or ""),
    }


def _caution(versions: Pair, facts: FactsPair) -> str:
    a, b = (version.tags["data_fingerprint"] for version in versions)
    drawn = [
        {name: value for name, value in run.parameters.items() if name.startswith(DRAWN_BY)}
        for run in facts
    ]
    if a != b or drawn[0] != drawn[1]:
        return "The two were tested on different rows: what differs may be the rows."
    return (
        "Both were tested on the same rows, and intervals that overlap say little then: the paired "
        "comparison with the champion is on the gate's page of each version's run."
    )


def _with_intervals(facts: RunFacts) -> list[str]:
    return [
        name
        for name in sorted(facts.metrics)
        if all(f"{name}{bound}" in facts.metrics for bound in BOUNDS)
    ]


def _metric(facts: RunFacts, name: str, digits: int = 4) -> str:
    if name not in _with_intervals(facts):
        return ""
    value, low, high = (facts.metrics[f"{name}{suffix}"] for suffix in ("", *BOUNDS))
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _package(package: ModelPackage) -> str:
    return f"{package.short_name} {package.approval}, {package.stage}"


def _what(event: Event) -> str:
    return f"{event.action} in place of version {event.former}" if event.former else event.action


def _time(event: Event) -> str:
    return f"{event.when:%Y-%m-%d %H:%M:%S}"
