import http.client
import json
import threading
from contextlib import contextmanager

import model_server
import numpy as np
import pytest
import xgboost as xgb
from model_server import Answer
from sagemaker_xgboost_container.serving import built_in_model


@contextmanager
def serving(model):
    with model_server.server_of(model, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        yield connection
        connection.close()
        server.shutdown()


def ask(connection, body, *, method="POST", path="/invocations", **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, named)
    response = connection.getresponse()
    return response.status, response.read().decode(), response.getheader("Content-Type")


def echo(question):
    return Answer(200, question.body, question.content_type)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    random = np.random.default_rng(1)
    rows = random.normal(size=(200, 3))
    matrix = xgb.DMatrix(rows, label=rows[:, 0] > 0)
    booster = xgb.train({"objective": "binary:logistic", "nthread": 1}, matrix, 3)
    booster.save_model(folder / "model.ubj")
    (folder / "model.ubj").rename(folder / "xgboost-model")
    return built_in_model(folder)


def scores(text):
    return [float(line) for line in text.splitlines()]


def test_a_connection_is_kept_for_many_requests():
    with serving(echo) as connection:
        statuses = [ask(connection, None, method="GET", path="/ping")[0] for _ in range(2)]
        answers = [ask(connection, b"abc", Content_Type="x/y") for _ in range(2)]

    assert statuses == [200, 200]
    assert answers == [(200, "abc", "x/y")] * 2


def test_a_body_over_the_limit_is_refused_and_the_next_request_is_answered(monkeypatch):
    monkeypatch.setenv("MAX_CONTENT_LENGTH", "4")

    with serving(echo) as connection:
        refused = ask(connection, b"12345")
        answered = ask(connection, b"1234")

    assert refused[:2] == (413, "The request has 5 bytes; MAX_CONTENT_LENGTH is 4.")
    assert answered[:2] == (200, "1234")


@pytest.mark.parametrize(("batch", "status"), [("", 413), ("true", 200)])
def test_a_transform_takes_more_than_the_six_megabytes_of_an_endpoint(monkeypatch, batch, status):
    monkeypatch.setenv("SAGEMAKER_BATCH", batch)
    monkeypatch.delenv("MAX_CONTENT_LENGTH", raising=False)

    with serving(echo) as connection:
        connection.putrequest("POST", "/invocations")
        connection.putheader("Content-Length", str(6 * 1024**2 + 1))
        connection.endheaders()
        if status == 200:
            connection.send(b"x" * (6 * 1024**2 + 1))

        assert connection.getresponse().status == status


def test_an_exception_of_the_model_is_a_500_with_its_words():
    def failing(question):
        raise ValueError("no luck")

    with serving(failing) as connection:
        assert ask(connection, b"1")[:2] == (500, "no luck")


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("POST", "/ping")])
def test_another_path_is_not_found(method, path):
    with serving(echo) as connection:
        assert ask(connection, b"", method=method, path=path)[0] == 404


def test_a_csv_answer_has_a_line_for_each_row(model):
    with serving(model) as connection:
        one = ask(connection, b"1,0,0", Content_Type="text/csv")
        many = ask(connection, b"1,0,0\n-1,0,0\n", Content_Type="text/csv", Accept="text/csv")

    assert one[0] == many[0] == 200
    assert many[2] == "text/csv"
    first, second = scores(many[1])
    assert scores(one[1]) == [first]
    assert first > 0.5 > second


def test_libsvm_and_csv_of_one_row_score_alike(model):
    with serving(model) as connection:
        csv = ask(connection, b"1,2,3", Content_Type="text/csv")[1]
        libsvm = ask(connection, b"0:1 1:2 2:3", Content_Type="text/libsvm")[1]

    assert csv == libsvm


def test_json_and_json_lines_are_given_on_request(model):
    with serving(model) as connection:
        csv = ask(connection, b"1,0,0", Content_Type="text/csv")[1]
        as_json = ask(connection, b"1,0,0", Content_Type="text/csv", Accept="application/json")[1]
        as_lines = ask(
            connection, b"1,0,0", Content_Type="text/csv", Accept="application/jsonlines"
        )[1]

    (score,) = scores(csv)
    assert json.loads(as_json) == {"predictions": [{"score": score}]}
    assert json.loads(as_lines) == {"score": score}


@pytest.mark.parametrize(
    ("body", "headers", "status", "words"),
    [
        (b"", {"Content_Type": "text/csv"}, 204, ""),
        (b"{}", {"Content_Type": "application/json"}, 415, "is not an accepted ContentType"),
        (b"a,b,c", {"Content_Type": "text/csv"}, 415, "please ensure data is in csv format"),
        (b"1,2,3\n1", {"Content_Type": "text/csv", "Accept": "text/html"}, 406, "text/html"),
        (b"1", {"Content_Type": "text/csv"}, 400, "inference data 1 is not consistent"),
        (b"9:1", {"Content_Type": "text/libsvm"}, 400, "inference data 10 is larger"),
    ],
)
def test_what_the_model_cannot_read_is_refused_with_the_reason(model, body, headers, status, words):
    with serving(model) as connection:
        found, said, _ = ask(connection, body, **headers)

    assert (found, words in said) == (status, True)
