import numpy as np
import pytest
from sagemaker_algorithm_toolkit.exceptions import UserError
from sagemaker_xgboost_container import encoder
from sagemaker_xgboost_container.data_utils import get_content_type, get_dmatrix


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (None, "libsvm"),
        ("csv", "csv"),
        ("text/csv", "csv"),
        ("text/csv; label_size=1; charset=utf8", "csv"),
        ("text/x-libsvm", "libsvm"),
    ],
)
def test_content_types_have_the_names_that_aws_takes(given, kind):
    assert get_content_type(given) == kind


@pytest.mark.parametrize("given", ["application/x-parquet", "text/csv; label_size=2"])
def test_another_content_type_is_refused_by_its_name(given):
    with pytest.raises(UserError, match=f"{given} is not an accepted"):
        get_content_type(given)


def test_a_csv_has_its_label_first_and_no_header(tmp_path):
    (tmp_path / "a.csv").write_text("1,0.5,2\n0,,3\n")

    matrix = get_dmatrix(tmp_path, "text/csv")

    assert matrix.get_label().tolist() == [1, 0]
    # An empty cell is missing, so it is not stored.
    assert matrix.get_data().toarray().tolist() == [[0.5, 2], [0, 3]]
    assert matrix.num_nonmissing() == 3


def test_all_files_of_a_channel_are_read_in_the_order_of_their_names(tmp_path):
    (tmp_path / "deep").mkdir()
    for name, label in (("b.csv", 2), ("a.csv", 1), ("deep/c.csv", 3), ("_SUCCESS", 4)):
        (tmp_path / name).write_text(f"{label},7\n")
    (tmp_path / "empty.csv").touch()

    matrix = get_dmatrix(tmp_path, "csv")

    assert matrix.get_label().tolist() == [1, 2, 3]


def test_the_second_column_weighs_the_rows_if_asked(tmp_path):
    (tmp_path / "a.csv").write_text("1;0.25;9\n0;0.75;8\n")

    matrix = get_dmatrix(tmp_path, "csv", csv_weights=1)

    assert matrix.get_weight().tolist() == [0.25, 0.75]
    assert matrix.num_col() == 1


def test_libsvm_counts_columns_from_zero_and_may_weigh_rows(tmp_path):
    (tmp_path / "a").write_text("1:0.5 0:1.5 3:2  # comment\n0:2 1:4\n")

    matrix = get_dmatrix(tmp_path, None)

    assert (matrix.num_row(), matrix.num_col()) == (2, 4)
    assert matrix.get_label().tolist() == [1, 0]
    assert matrix.get_weight().tolist() == [0.5, 2]
    assert matrix.get_data().toarray().tolist() == [[1.5, 0, 0, 2], [0, 4, 0, 0]]


def test_an_empty_channel_gives_nothing(tmp_path):
    assert get_dmatrix(tmp_path, "csv") is None


@pytest.mark.parametrize(
    ("content", "content_type", "complaint"),
    [
        ("y,x\n1,2\n", "csv", "Failed to load csv data"),
        ("1,True\n0,False\n", "csv", "Failed to load csv data"),
        ("1,2,3\n", None, "First line '1,2,3...' of file 'a.csv' is not 'LIBSVM' format"),
        ("1 0:1\nx 0:1\n", None, "Failed to load libsvm data"),
    ],
)
def test_a_file_of_another_format_is_an_error_that_says_so(
    tmp_path, content, content_type, complaint
):
    (tmp_path / "a.csv").write_text(content)

    with pytest.raises(UserError, match=complaint):
        get_dmatrix(tmp_path, content_type)


def test_pipe_mode_is_not_emulated(tmp_path):
    with pytest.raises(UserError, match="not emulated"):
        get_dmatrix(tmp_path, "csv", is_pipe=True)


def test_a_request_has_no_label():
    matrix = encoder.csv_to_dmatrix(b"1,2\n3,4\n")

    assert matrix.get_data().toarray().tolist() == [[1, 2], [3, 4]]


def test_a_label_in_a_libsvm_request_is_skipped():
    with_label, without = (encoder.libsvm_to_dmatrix(t) for t in ("1 0:2 2:3", "0:2 2:3"))

    np.testing.assert_array_equal(with_label.get_data().toarray(), without.get_data().toarray())
