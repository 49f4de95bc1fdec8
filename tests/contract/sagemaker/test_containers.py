"""What a container finds, with and without namespaces, in a new interpreter and in a fork."""

import dataclasses
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from sagemaker_emulator.api.errors import JobError
from sagemaker_emulator.images.containers import (
    Command,
    ContainerRuntime,
    Environment,
    best_isolation,
)

FRESH = Environment(Path(sys.prefix))
FORKED = Environment(Path(sys.prefix), preload=("json",))

BEAT = """if True:
    import sys, time
    while True:
        with open(sys.argv[1], "a") as file:
            file.write(".")
        time.sleep(0.02)
    """


@pytest.fixture(params=["namespace", "shim"])
def runtime(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    if request.param == "namespace" and best_isolation() != "namespace":
        pytest.skip("this system gives no namespaces")
    runtime = ContainerRuntime(request.param, tmp_path_factory.mktemp("home"))
    yield runtime
    runtime.stop()


@pytest.fixture(params=[FRESH, FORKED], ids=["fresh", "forked"])
def environment(request: pytest.FixtureRequest) -> Environment:
    return request.param


def command(folder: Path, script: str, **hosts: str) -> Command:
    for name in ("ml", "app"):
        (folder / name).mkdir(parents=True)
    (folder / "script.py").write_text(script)
    return Command(
        ["python", str(folder / "script.py")], {}, folder, hosts or {"algo-1": "127.0.0.1"}
    )


def test_opt_ml_is_the_folder_of_the_job(runtime, environment, tmp_path):
    script = """if True:
        import os, pathlib
        os.makedirs("/opt/ml/model/deep")
        pathlib.Path("/opt/ml/model/deep/weights").write_text("0.5")
        with open("/app/code", "w") as file:
            file.write(str(os.listdir("/opt/ml/model")))
        """

    container = runtime.start(environment, command(tmp_path, script))

    assert container.wait(10) == 0, (tmp_path / "log").read_text()
    assert (tmp_path / "ml" / "model" / "deep" / "weights").read_text() == "0.5"
    assert (tmp_path / "app" / "code").read_text() == "['deep']"


def test_hosts_have_their_names(runtime, environment, tmp_path):
    script = "import socket; print(socket.gethostname(), socket.gethostbyname('algo-2'))"
    hosts = {"algo-1": "127.9.9.1", "algo-2": "127.9.9.2"}

    container = runtime.start(environment, command(tmp_path, script, **hosts))

    container.wait(10)
    assert (tmp_path / "log").read_text() == "algo-1 127.9.9.2\n"


def test_the_exit_code_and_the_arguments_are_those_of_the_program(runtime, environment, tmp_path):
    script = command(tmp_path, "import sys; sys.exit(int(sys.argv[1]))")

    container = runtime.start(environment, with_arguments(script, "7"))

    assert container.wait(10) == 7


def test_a_missing_program_has_the_exit_code_of_a_shell(runtime, environment, tmp_path):
    missing = dataclasses.replace(command(tmp_path, ""), argv=["no-such-program"])

    assert runtime.start(environment, missing).wait(10) == 127


def test_a_module_runs_from_the_working_directory(runtime, environment, tmp_path):
    module = dataclasses.replace(command(tmp_path, ""), argv=["python", "-m", "mine"])
    (tmp_path / "app" / "mine.py").write_text("print(__name__)")

    runtime.start(environment, module).wait(10)

    assert (tmp_path / "log").read_text() == "__main__\n"


def test_a_signal_reaches_the_program(runtime, environment, tmp_path):
    container = runtime.start(environment, command(tmp_path, "import time; time.sleep(60)"))

    container.kill(9)

    assert container.wait(10) == 137


def test_what_a_container_leaves_running_ends_with_it(runtime, environment, tmp_path):
    (tmp_path / "beat.py").write_text(BEAT)
    script = """if True:
        import subprocess, sys, time
        subprocess.Popen([sys.executable, *sys.argv[1:]])
        time.sleep(0.5)
        """
    files = (str(tmp_path / "beat.py"), str(tmp_path / "beats"))

    runtime.start(environment, with_arguments(command(tmp_path / "job", script), *files)).wait(10)

    assert_silent(tmp_path / "beats")


def test_containers_end_with_their_runtime(runtime, environment, tmp_path):
    beats = tmp_path / "beats"
    beating = with_arguments(command(tmp_path / "job", BEAT), str(beats))
    container = runtime.start(environment, beating)
    while not beats.exists():
        container.wait(0.05)

    runtime.stop()

    assert container.wait(5) == 137
    assert_silent(beats)


def test_an_environment_without_a_python_says_so(runtime, tmp_path):
    with pytest.raises(JobError, match="CannotPullContainerError: there is no"):
        runtime.start(Environment(tmp_path), command(tmp_path / "job", ""))


def with_arguments(command: Command, *arguments: str) -> Command:
    return dataclasses.replace(command, argv=[*command.argv, *arguments])


def assert_silent(beats: Path) -> None:
    """Nothing writes to `beats` any more."""
    time.sleep(0.1)
    before = beats.stat().st_size
    time.sleep(0.2)
    assert beats.stat().st_size == before > 0


def test_what_is_imported_beforehand_finds_the_variables_as_well(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "early.py").write_text("import os\npolicy = os.environ['POLICY']\n")
    variables = {"PYTHONPATH": str(tmp_path / "code"), "POLICY": "passive"}
    runtime = ContainerRuntime(best_isolation(), tmp_path / "home", variables)
    environment = Environment(Path(sys.prefix), preload=("early",))
    script = "import early, sys\nsys.exit(early.policy != 'passive')"

    container = runtime.start(environment, command(tmp_path / "job", script))
    exit_code = container.wait(10)
    runtime.stop()

    assert exit_code == 0, (tmp_path / "job" / "log").read_text()
