"""The supervisor, with small real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stack.errors import AlreadyRunning, PartDied, PartNotReady, StackError, StopAsked
from stack.folder import StackFolder
from stack.leftovers import end_leftovers
from stack.part import Part
from stack.stop_request import StopRequest
from stack.supervisor import MAX_RESTARTS, supervised
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[3]


@pytest.fixture
def folder(tmp_path: Path) -> StackFolder:
    return StackFolder(tmp_path / "var")


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Where the parts note what happens to them."""
    return tmp_path / "notes"


@pytest.fixture
def part(notes: Path) -> Callable[..., Part]:
    """Makes a part that notes its start and its end, and is ready when it has noted its start."""

    def make(name: str, first: str = ":") -> Part:
        noting = f"trap 'echo {name} ends >>{notes}; exit' TERM; echo {name} starts >>{notes}"
        script = f"{noting}; {first}; while :; do sleep 0.05; done"
        return Part(name, ("sh", "-c", script), is_ready=lambda _pid: f"{name} starts" in lines(notes))

    return make


def lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines() if path.exists() else []


def pid_of(folder: StackFolder, name: str) -> int:
    pid = folder.process_file(name).read()
    assert pid is not None, f"{name} has no process"
    return pid


def lives(pid: int | None) -> bool:
    """Return whether the process runs: not where there is none yet, nor where its parent has still to reap it."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid or 0)], capture_output=True, text=True, check=False)
    return bool(state.stdout.strip()) and not state.stdout.startswith("Z")


def test_parts_start_in_order_and_stop_in_reverse(folder: StackFolder, notes: Path, part: Callable[..., Part]) -> None:
    with supervised(folder, StopRequest()) as supervisor:
        supervisor.start([part("valkey")])
        supervisor.start([part("api")])
        supervisor.start([part("worker")])

    assert lines(notes) == [
        *("valkey starts", "api starts", "worker starts"),
        *("worker ends", "api ends", "valkey ends"),
    ]


def test_the_user_is_told_of_each_part(folder: StackFolder, part: Callable[..., Part]) -> None:
    said: list[str] = []

    with supervised(folder, StopRequest(), said.append) as supervisor:
        supervisor.start([replace(part("api"), says="http://127.0.0.1:8000")])

    assert [line.split()[:2] for line in said] == [["api", "ready"], ["Stopping", "(Ctrl-C:"], ["api", "stopped"]]
    assert said[0].endswith("http://127.0.0.1:8000")


def test_a_part_gets_our_environment_and_its_own(
    folder: StackFolder, part: Callable[..., Part], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OURS", "1")

    with supervised(folder, StopRequest()) as supervisor:
        supervisor.start([replace(part("api", "echo $OURS $ITS"), environment={"ITS": "2"})])
        wait_until(lambda: lines(folder.log("api")) == ["1 2"])


@pytest.fixture
def with_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """The supervisor starts a part anew at once."""
    monkeypatch.setattr("stack.supervisor.FIRST_PAUSE_S", 0.01)


@pytest.mark.usefixtures("with_timeout")
def test_a_part_that_dies_again_and_again_is_named_with_the_end_of_its_log(
    folder: StackFolder, notes: Path, part: Callable[..., Part]
) -> None:
    with supervised(folder, StopRequest()) as supervisor:
        supervisor.start([part("valkey"), part("api", "echo no more memory; exit 3")])
        with pytest.raises(PartDied, match=r"api died \(exit code 3\).*api\.log:\n.*  \| no more memory"):
            supervisor.watch()

    assert lines(notes).count("api starts") == 1 + MAX_RESTARTS
    assert lines(notes).count("valkey starts") == 1


@pytest.mark.usefixtures("with_timeout")
def test_a_part_that_ends_once_is_started_anew_and_the_user_is_told(
    folder: StackFolder, notes: Path, part: Callable[..., Part]
) -> None:
    said, stop = list[str](), StopRequest()

    with supervised(folder, stop, said.append) as supervisor:
        supervisor.start([part("housekeeping", f"test $(wc -l <{notes}) -gt 1 || exit 70")])
        watching = threading.Thread(target=supervisor.watch)
        watching.start()
        wait_until(lambda: len(lines(notes)) == 2)
        wait_until(lambda: lives(folder.process_file("housekeeping").read()))
        stop.asked = True
        watching.join()

    assert "housekeeping died (exit code 70). It is started anew (1 of 5 times)." in said
    assert lines(notes) == ["housekeeping starts", "housekeeping starts", "housekeeping ends"]


def test_the_user_is_told_of_a_death_before_the_others_stop(folder: StackFolder, part: Callable[..., Part]) -> None:
    said: list[str] = []

    with pytest.raises(PartDied), supervised(folder, StopRequest(), said.append) as supervisor:
        supervisor.start([part("valkey"), part("api", "exit 3"), replace(part("worker"), is_ready=lambda _pid: False)])

    death = said.index("api died (exit code 3).")
    assert said[death + 1].startswith("Stopping")


def test_a_part_that_is_killed_is_named_with_the_signal(folder: StackFolder, part: Callable[..., Part]) -> None:
    def check() -> bool:
        supervisor.check()
        return False

    with supervised(folder, StopRequest()) as supervisor:
        supervisor.start([part("api")])
        os.kill(pid_of(folder, "api"), signal.SIGKILL)
        with pytest.raises(PartDied, match=r"api died \(killed by SIGKILL\)"):
            wait_until(check)


def test_a_part_that_dies_ends_the_start_and_takes_the_others_down(
    folder: StackFolder, notes: Path, part: Callable[..., Part]
) -> None:
    never_ready = replace(part("worker"), is_ready=lambda _pid: False)

    with supervised(folder, StopRequest()) as supervisor, pytest.raises(PartDied, match="api died"):
        supervisor.start([part("valkey"), part("api", "exit 1"), never_ready])

    assert lines(notes)[-1] == "valkey ends"


def test_a_part_that_does_not_answer_in_time_is_named(folder: StackFolder, part: Callable[..., Part]) -> None:
    silent = replace(part("api", "echo thinking"), is_ready=lambda _pid: False, ready_within_s=0.3)

    with (
        supervised(folder, StopRequest()) as supervisor,
        pytest.raises(PartNotReady, match=r"api is not ready after 0\.3 s.*\n  \| thinking"),
    ):
        supervisor.start([silent])


def test_a_program_that_is_missing_is_named(folder: StackFolder) -> None:
    with supervised(folder, StopRequest()) as supervisor, pytest.raises(StackError, match=r"Cannot start s3: .*weed"):
        supervisor.start([Part("s3", ("/nowhere/weed",), is_ready=lambda _pid: True)])


def test_a_part_that_ignores_the_signal_is_killed_with_its_children(
    folder: StackFolder, notes: Path, part: Callable[..., Part]
) -> None:
    stubborn = part("api", f"trap '' TERM; sleep 60 & echo $! >>{notes}")
    said: list[str] = []

    with supervised(folder, StopRequest(), said.append) as supervisor:
        supervisor.start([replace(stubborn, grace_s=0.2)])
        wait_until(lambda: len(lines(notes)) == 2)
        pids = (pid_of(folder, "api"), int(lines(notes)[1]))

    assert "killed" in said[-1]
    wait_until(lambda: not any(map(lives, pids)))


def test_the_children_of_a_part_that_ends_in_order_end_with_it(
    folder: StackFolder, notes: Path, part: Callable[..., Part]
) -> None:
    with supervised(folder, StopRequest()) as supervisor:
        supervisor.start([part("api", f"sleep 60 & echo $! >>{notes}")])
        wait_until(lambda: len(lines(notes)) == 2)
        child = int(lines(notes)[1])

    wait_until(lambda: not lives(child))


def test_an_urgent_request_does_not_wait_for_the_grace_to_pass(folder: StackFolder, part: Callable[..., Part]) -> None:
    stop = StopRequest()
    said: list[str] = []

    with supervised(folder, stop, said.append) as supervisor:
        supervisor.start([replace(part("worker", "trap '' TERM"), grace_s=600)])
        stop.on_signal(signal.SIGINT, None)
        assert (stop.asked, stop.urgent) == (True, False)
        stop.on_signal(signal.SIGINT, None)
        assert stop.urgent

    assert "killed" in said[-1]


def test_watching_ends_when_the_user_asks(folder: StackFolder, part: Callable[..., Part]) -> None:
    stop = StopRequest()

    with supervised(folder, stop) as supervisor:
        supervisor.start([part("api")])
        stop.asked = True
        supervisor.watch()


def test_asking_while_parts_start_ends_the_start(folder: StackFolder, notes: Path, part: Callable[..., Part]) -> None:
    with pytest.raises(StopAsked), supervised(folder, StopRequest(asked=True)) as supervisor:
        supervisor.start([replace(part("worker"), is_ready=lambda _pid: False)])

    assert not folder.process_files()


def test_what_a_killed_part_leaves_elsewhere_is_removed(
    folder: StackFolder, tmp_path: Path, part: Callable[..., Part]
) -> None:
    socket = tmp_path / "s3.sock"
    socket.touch()

    with supervised(folder, StopRequest()) as supervisor:
        supervisor.start([replace(part("s3"), leftovers=(socket, tmp_path / "never-made"))])

    assert not socket.exists()


def test_two_stacks_do_not_share_a_folder(folder: StackFolder) -> None:
    with (
        supervised(folder, StopRequest()),
        pytest.raises(AlreadyRunning, match=rf"process {os.getpid()}\. Stop it first: kill {os.getpid()}"),
        supervised(folder, StopRequest()),
    ):
        pass


def test_a_stack_that_has_just_begun_is_told_to_another(folder: StackFolder) -> None:
    with (
        folder.lock.locked(),
        pytest.raises(AlreadyRunning, match="one that has just begun"),
        supervised(folder, StopRequest()),
    ):
        pass


LEAVE_PARTS_BEHIND = """
import os, signal, sys
from pathlib import Path
from stack.folder import StackFolder
from stack.part import Part
from stack.stop_request import StopRequest
from stack.supervisor import supervised

with supervised(StackFolder(Path(sys.argv[1])), StopRequest()) as supervisor:
    for name in ("valkey", "api"):
        supervisor.start([Part(name, ("sleep", "600"), is_ready=lambda pid: True)])
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_stack_left_running_is_ended_at_the_next_start(folder: StackFolder) -> None:
    killed = subprocess.run([sys.executable, "-c", LEAVE_PARTS_BEHIND, str(folder.root)], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    orphans = [pid_of(folder, name) for name in ("valkey", "api")]
    assert all(map(lives, orphans))
    said: list[str] = []

    with supervised(folder, StopRequest(), said.append):
        wait_until(lambda: not any(map(lives, orphans)))

    assert [line.split()[0] for line in said] == ["api", "valkey"]
    assert not folder.process_files()


def test_a_left_part_that_no_file_names_is_told_to_the_user(folder: StackFolder) -> None:
    file = folder.process_file("api")

    with file.locked(), pytest.raises(StackError, match=r"api .* still runs.*fuser -k .*api\.pid"):
        list(end_leftovers(folder))

    assert file.path.exists()


def test_a_process_that_only_has_the_number_of_an_old_part_is_left_alone(folder: StackFolder) -> None:
    with subprocess.Popen(["sleep", "600"]) as stranger:
        file = folder.process_file("api")
        with file.locked():
            file.write(stranger.pid)

        with supervised(folder, StopRequest()):
            assert stranger.poll() is None

        stranger.kill()
