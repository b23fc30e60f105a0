"""A tool's run: everything that can go wrong with it becomes a sentence, the silent ways too."""

import os
import stat
from pathlib import Path

import pytest
from celosia import ToolError
from celosia.boards.stage import Attempt, Patience, Stage, ends_like_json
from celosia.boards.tools import Tool

TOOL = Tool(name="placer", distribution="yowasp-placer", package="yowasp_placer", function="run_placer")
WHOLE = "echo '{\"whole\": 1}' > out.json"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of a build; no `placer` is on PATH."""
    monkeypatch.delenv("PLACER", raising=False)
    (tmp_path / "work").mkdir()
    return tmp_path


def native(folder, monkeypatch, script):
    program = folder / "placer"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PLACER", str(program))


def from_pypi(folder, monkeypatch, script):
    """A package that runs `script`, a Python function's body, in place of WebAssembly."""
    package = folder / "packages" / "yowasp_placer"
    package.mkdir(parents=True)
    body = "\n".join(f"    {line}" for line in script.splitlines())
    (package / "__init__.py").write_text(f"import os, sys\n\ndef run_placer(argv):\n{body}\n")
    monkeypatch.setenv("PYTHONPATH", str(folder / "packages"))
    monkeypatch.syspath_prepend(str(folder / "packages"))


def run(folder, **changes):
    stage = Stage(title="place", tool=TOOL, arguments=("--seed", "1"), outputs={"out.json": ends_like_json}, **changes)
    return stage.run(folder / "work", folder)


def refused(folder):
    with pytest.raises(ToolError) as caught:
        run(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_success_keeps_the_log(folder, monkeypatch):
    native(folder, monkeypatch, f"echo placing $@; {WHOLE}")
    assert run(folder) >= 0
    assert (folder / "placer.log").read_text() == "placing --seed 1\n"


def test_missing_tool(folder):
    assert refused(folder) == ("no placer: `pip install yowasp-placer`, or install placer, or name one in the variable PLACER")


def test_variable_that_names_nothing(folder, monkeypatch):
    monkeypatch.setenv("PLACER", "/no/such/placer")
    assert refused(folder) == (
        "cannot run placer: /no/such/placer: No such file or directory; install it, or correct the variable PLACER"
    )


def test_a_failure_is_told_in_the_tools_words(folder, monkeypatch):
    native(folder, monkeypatch, "echo 'Info: packing'; echo 'ERROR: no place for cell x' >&2; exit 3")
    log = folder / "placer.log"
    assert refused(folder) == f"placer failed with exit code 3: ERROR: no place for cell x (all of it is in {log})"


def test_a_failure_without_a_word(folder, monkeypatch):
    native(folder, monkeypatch, "exit 1")
    assert refused(folder).startswith(
        "placer failed with exit code 1 and without a whole out.json, and said nothing of why; run it again, or install "
        "another version"
    )


@pytest.mark.parametrize("output", ["true", "echo '{\"half\": ' > out.json", "touch out.json"])
def test_success_without_a_whole_output_is_none(folder, monkeypatch, output):
    native(folder, monkeypatch, output)
    assert "placer ended without an error and without a whole out.json, and said nothing of why" in refused(folder)


def test_an_output_of_an_earlier_run_does_not_count(folder, monkeypatch):
    (folder / "work" / "out.json").write_text("{}")
    native(folder, monkeypatch, "true")
    assert "without a whole out.json" in refused(folder)


def test_a_tool_that_is_killed(folder, monkeypatch):
    native(folder, monkeypatch, "kill -9 $$")
    assert "placer was ended by signal 9 (SIGKILL), as the system does where memory runs out" in refused(folder)


def test_a_tool_of_pypi_that_dies_silently_is_run_again(folder, monkeypatch):
    script = """if not os.path.exists("../once"):
    open("../once", "w").close()
    open("out.json", "w").write('{"half": ')
    os._exit(1)
open("out.json", "w").write("{}")
return 0"""
    from_pypi(folder, monkeypatch, script)
    run(folder)
    assert "placer ended with exit code 1 and no message: a second attempt" in (folder / "placer.log").read_text()


def test_a_tool_of_pypi_that_dies_silently_twice(folder, monkeypatch):
    from_pypi(folder, monkeypatch, 'open("../runs", "a").write("x")\nos._exit(1)')
    assert refused(folder).startswith(
        "placer failed with exit code 1 and without a whole out.json, and said nothing of why; twice, as it does when it runs "
        "out of stack or memory: install a native placer, or take a smaller fabric"
    )
    assert (folder / "runs").read_text() == "xx"


def test_a_tool_of_pypi_that_says_why_is_not_run_again(folder, monkeypatch):
    from_pypi(folder, monkeypatch, 'open("../runs", "a").write("x")\nprint("ERROR: too large")\nreturn 1')
    assert "placer failed with exit code 1: ERROR: too large" in refused(folder)
    assert (folder / "runs").read_text() == "x"


def test_a_crash_of_the_runtime_is_told(folder, monkeypatch):
    from_pypi(folder, monkeypatch, 'raise RuntimeError("wasm trap: call stack exhausted")')
    assert "RuntimeError: wasm trap: call stack exhausted" in refused(folder)


def test_what_a_tool_logs_itself_is_kept_before_what_it_prints(folder, monkeypatch):
    own = 'open("own.log", "w").write("mapping\\nERROR: Assert failed\\n")'
    from_pypi(folder, monkeypatch, f'{own}\nprint("starting")\nopen("../runs", "a").write("x")\nreturn 1')
    stage = Stage(title="place", tool=TOOL, arguments=(), outputs={"out.json": ends_like_json}, own_log="own.log")
    with pytest.raises(ToolError, match="placer failed with exit code 1: ERROR: Assert failed"):
        stage.run(folder / "work", folder)
    assert (folder / "placer.log").read_text() == "mapping\nERROR: Assert failed\nstarting\n"
    assert (folder / "runs").read_text() == "x"


def test_the_last_words_of_a_log_of_its_own_are_shown(folder, monkeypatch):
    native(folder, monkeypatch, f"echo begin; echo mapping > own.log; sleep 0.7; {WHOLE}")
    heard = []
    Stage(title="place", tool=TOOL, arguments=(), outputs={"out.json": ends_like_json}, own_log="own.log").run(
        folder / "work", folder, heard.append
    )
    assert "mapping" in heard


def test_interruption_ends_the_tool(folder, monkeypatch):
    native(folder, monkeypatch, "echo $$ > pid; exec sleep 60")
    stage = Stage(title="place", tool=TOOL, arguments=(), outputs={})

    def interrupt(said):
        if (folder / "work" / "pid").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stage.run(folder / "work", folder, interrupt)
    pid = int(Path(folder, "work", "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_tool_beyond_our_patience_is_run_in_other_ways(folder, monkeypatch):
    native(folder, monkeypatch, f"case $* in *hard*) echo hopeless; exec sleep 60;; esac; echo $* > ../given; {WHOLE}")
    others = (
        Attempt(what="less hard", arguments=("--hard", "1"), prepare=lambda work: (work / "prepared").touch()),
        Attempt(what="easily", arguments=("--easy",), then=lambda work: (work / "done").touch()),
    )
    stage = Stage(
        title="place",
        tool=TOOL,
        arguments=("--hard", "2"),
        outputs={"out.json": ends_like_json},
        patience=Patience(watch=lambda: lambda said: said == "hopeless", others=others),
        prepare=lambda work: (work / "begun").touch(),
        then=lambda work: (work / "wrong").touch(),
    )
    assert stage.run(folder / "work", folder) < 30
    assert (folder / "given").read_text() == "--easy\n"
    assert {path.name for path in (folder / "work").iterdir()} == {"begun", "prepared", "done", "out.json"}
    assert (folder / "placer.log").read_text() == (
        "hopeless\ncelosia: placer does not reach what is asked: another attempt, less hard\n"
        "hopeless\ncelosia: placer does not reach what is asked: another attempt, easily\n"
    )


def test_the_last_attempt_may_last(folder, monkeypatch):
    native(folder, monkeypatch, f"echo hopeless; sleep 0.7; echo $* > ../given; {WHOLE}")
    hopeless = Patience(watch=lambda: lambda said: said == "hopeless", others=(Attempt(what="again", arguments=("last",)),))
    run(folder, patience=hopeless)
    assert (folder / "given").read_text() == "last\n"


def test_patience_with_a_tool_that_ends(folder, monkeypatch):
    native(folder, monkeypatch, f"echo $* > ../given; {WHOLE}")
    run(folder, patience=Patience(watch=lambda: lambda said: False, others=(Attempt(what="again", arguments=("last",)),)))
    assert (folder / "given").read_text() == "--seed 1\n"


def test_the_last_words_are_shown(folder, monkeypatch):
    native(folder, monkeypatch, f"echo Info: routing; sleep 0.7; {WHOLE}")
    heard = []
    Stage(title="place", tool=TOOL, arguments=(), outputs={"out.json": ends_like_json}).run(
        folder / "work", folder, heard.append
    )
    assert "routing" in heard
