"""The page of a search: what it says, and that it stands alone."""

import re
from html.parser import HTMLParser

import pytest

from bank_marketing.config import Range
from bank_marketing.tuning import Trial, Tuning, comparable_values, importances
from reports.tuning import render_tuning

SPACE = (
    Range(name="learning_rate", type="float", low=0.01, high=1, scale="log"),
    Range(name="max_depth", type="int", low=1, high=9, scale="linear"),
)


class Page(HTMLParser):
    """A document's words, attributes, and table cells row by row."""

    def __init__(self, document):
        super().__init__()
        self.words, self.attributes, self.rows = [], [], []
        self.feed(document)

    def handle_starttag(self, tag, attrs):
        self.attributes += attrs
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_data(self, data):
        self.words += data.split()
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] = " ".join([*self.rows[-1][-1].split(), *data.split()])

    @property
    def text(self):
        return " ".join(self.words)


def trial(number, *fold_values, state="complete", depth=3, error=None):
    return Trial(
        number=number,
        state=state,
        hyperparameters={"learning_rate": 0.1, "max_depth": depth},
        value=sum(fold_values) / len(fold_values) if fold_values else None,
        fold_values=fold_values,
        trees=100 if fold_values else None,
        seconds=1.5,
        error=error,
    )


FIRST = trial(0, 0.30, 0.40)
BEST = trial(1, 0.20, 0.42, depth=5)
PRUNED = trial(2, 0.25, state="pruned", depth=7)
FAILED = trial(3, state="failed", error="Out of range <gamma>")


@pytest.fixture
def make_tuning(settings):
    def make(*trials, best=None, resumed=0, metric="log_loss", search_space=SPACE):
        return Tuning(
            study="tuning-0123",
            metric=metric,
            folds=2,
            search_space=search_space,
            model=settings.model,
            best=best,
            trials=trials,
            resumed=resumed,
        )

    return make


@pytest.fixture
def tuning(make_tuning):
    return make_tuning(FIRST, BEST, PRUNED, FAILED, best=BEST)


def test_a_pruned_trial_is_compared_on_the_folds_that_it_has_seen(tuning):
    values = comparable_values(tuning)

    # On the first fold trial 2 is 0.05 behind the best, whose mean is 0.31.
    assert values == pytest.approx({0: 0.35, 1: 0.31, 2: 0.36})


def test_the_hyperparameter_that_decides_is_the_important_one(make_tuning):
    trials = [trial(n, 0.2 + 0.01 * (n % 7), 0.3, depth=1 + n % 7) for n in range(28)]

    shares = importances(make_tuning(*trials, best=trials[0]))

    assert shares["max_depth"] == pytest.approx(1)


def test_a_few_trials_do_not_tell_what_matters(tuning):
    assert importances(tuning) == {}


def test_page_starts_with_the_result_in_words(tuning):
    text = Page(render_tuning(tuning)).text

    # 0.31 against 0.35; 0.20 < 0.30 on the first fold, 0.42 > 0.40 on the second.
    assert (
        "Trial 1 of 4 is the best: log loss 0.3100 on average over 2 folds of the training set, "
        "with about 100 trees. The first trial has 0.3500; the best is better in 1 of 2 "
        "folds."
    ) in text


def test_page_says_when_the_first_trial_was_not_beaten(make_tuning):
    text = Page(render_tuning(make_tuning(FIRST, best=FIRST))).text

    assert "No other did better than this, the first." in text


def test_page_copes_with_trials_of_which_the_mean_alone_is_known(make_tuning):
    first, best = (
        each.model_copy(update={"fold_values": (), "trees": None}) for each in (FIRST, BEST)
    )

    page = Page(render_tuning(make_tuning(first, best, best=best)))

    assert (
        "log loss 0.3100 on average over 2 folds of the training set. The first trial has 0.3500."
    ) in page.text
    # Trial, log loss, folds, trees, seconds, and the two hyperparameters.
    assert page.rows[-2:] == [
        ["1", "0.3100", "2", "-", "1.5", "0.1", "5"],
        ["0", "0.3500", "2", "-", "1.5", "0.1", "3"],
    ]


def test_page_says_when_nothing_was_searched(make_tuning):
    text = Page(render_tuning(make_tuning())).text

    assert "Nothing was searched: the model has the hyperparameters of the configuration." in text


def test_page_says_what_an_earlier_run_had_found(make_tuning):
    text = Page(render_tuning(make_tuning(FIRST, BEST, best=BEST, resumed=1))).text

    assert "1 trial was known from an earlier run of this study, tuning-0123." in text


def test_trials_on_all_folds_stand_before_those_given_up(make_tuning):
    rows = Page(render_tuning(make_tuning(FIRST, BEST, PRUNED, best=BEST))).rows

    # Trial, log loss, folds, trees, seconds, and the two hyperparameters.
    assert rows[-3:] == [
        ["1", "0.3100", "2", "100", "1.5", "0.1", "5"],
        ["0", "0.3500", "2", "100", "1.5", "0.1", "3"],
        ["2", "0.3600", "1", "100", "1.5", "0.1", "7"],
    ]


def test_every_trial_that_was_trained_is_shown_though_the_best_come_first(make_tuning):
    trials = [trial(n, 0.2 + 0.01 * n, 0.3, depth=1 + n % 7) for n in range(25)]

    document = render_tuning(make_tuning(*trials, best=trials[0]))

    best, _, every = document.partition("All 25 that were trained")
    assert [row[0] for row in Page(best).rows[-20:]] == [str(n) for n in range(20)]
    assert [row[0] for row in Page(every).rows[-25:]] == [str(n) for n in range(25)]


def test_a_few_trials_are_shown_once(tuning):
    assert "<details>" not in render_tuning(tuning)


def test_a_high_roc_auc_is_the_better_one(make_tuning):
    high, low = trial(0, 0.8, 0.8), trial(1, 0.7, 0.7)

    rows = Page(render_tuning(make_tuning(low, high, best=high, metric="roc_auc"))).rows

    assert [row[:2] for row in rows[-2:]] == [["0", "0.8000"], ["1", "0.7000"]]


def test_failures_are_told_in_words_and_escaped(tuning):
    document = render_tuning(tuning)

    assert "Trial 3: Out of range &lt;gamma&gt;" in document


def test_every_failure_is_told(make_tuning):
    failures = [trial(n, state="failed", error="no memory") for n in range(1, 9)]

    text = Page(render_tuning(make_tuning(FIRST, *failures, best=FIRST))).text

    assert [n for n in range(9) if f"Trial {n}: no memory" in text] == list(range(1, 9))


def test_there_is_a_chart_for_each_hyperparameter_in_the_colours_of_the_page(tuning):
    charts = re.findall(r"<svg.*?</svg>", render_tuning(tuning), flags=re.DOTALL)

    # The history, the parallel coordinates and two slices.
    assert len(charts) == 4
    assert all("var(--contrast)" in chart for chart in charts)
    assert re.findall(r"(?:fill|stroke): ?#\w+", "".join(charts)) == []


def test_importance_is_drawn_when_there_are_trials_enough(make_tuning):
    trials = [trial(n, 0.2 + 0.01 * (n % 7), 0.3, depth=1 + n % 7) for n in range(28)]

    document = render_tuning(make_tuning(*trials, best=trials[0]))

    assert 'aria-label="Importance of the hyperparameters"' in document


def test_page_needs_no_other_file(tuning):
    document = render_tuning(tuning)

    links = [value for name, value in Page(document).attributes if name.endswith(("href", "src"))]
    assert [link for link in links if not link.startswith("#")] == []
    assert re.findall(r"<script|@import|url\((?!#)", document) == []


def test_equal_searches_give_equal_pages(tuning):
    assert render_tuning(tuning.model_copy(deep=True)) == render_tuning(tuning)
