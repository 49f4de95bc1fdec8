"""What steps write where nobody looks."""

from bank_marketing.search import TuningProgress
from platforms.terminal import tuning_progress


def test_a_file_is_spared_the_bar(capfd):
    with tuning_progress() as progress:
        progress(TuningProgress(finished=1, trials=2, best_value=0.7, seconds_left=3))

    assert capfd.readouterr().err == ""
