"""The functions' zips: small, and whole: each handler is imported from its own zip alone.

Those for this machine are imported. Those for Lambda are for another processor; they hold the same
distributions at the same versions.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from deploy.package import FUNCTIONS, ZIP_MAX_BYTES, FunctionZip
from tests.infra.conftest import BUILD

# Without site-packages and without this directory: what is imported comes from the zip or from the
# standard library. Every module of ours in the zip is imported, also what handlers import late.
IMPORT_ALL = """
import importlib, sys, pathlib
there, *modules = sys.argv[1:]
sys.path.insert(0, there)
entry = importlib.import_module("functions.aws.entry_points")
ours = tuple(f"{there}/{room}/" for room in
             ("protocol", "strategies", "venue", "runtime", "functions"))
files = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
print(*(file for file in files if file.startswith(there) and file.endswith(".py")
        and not file.startswith(ours)), file=sys.stderr)
for name in modules:
    importlib.import_module(name)
strangers = [name for name, module in list(sys.modules.items())
             if "site-packages" in (getattr(module, "__file__", None) or "")]
print(*strangers)
"""


def _zip(kind: str, function: FunctionZip) -> Path:
    path = BUILD / "functions" / kind / f"{function.name}.zip"
    if not path.exists():
        pytest.fail(f"{path} is missing: run `make package`")
    return path


def _names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def _own(names: list[str]) -> list[str]:
    rooms = ("protocol/", "venue/", "runtime/", "functions/")
    return [name for name in names if name.startswith(rooms) and name.endswith(".py")]


def _distributions(names: list[str]) -> set[str]:
    return {name.partition("/")[0] for name in names if ".dist-info/" in name}


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda each: each.name)
def test_a_handler_is_importable_from_its_own_zip(function: FunctionZip, tmp_path: Path) -> None:
    path = _zip("local", function)
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path)
    modules = [
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in _own(_names(path))
    ]
    assert "functions.aws.entry_points" in modules
    outcome = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-I", "-S", "-c", IMPORT_ALL, str(tmp_path), *modules],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        cwd=tmp_path,
        env={},
    )
    assert outcome.returncode == 0, outcome.stderr[-2000:]
    assert outcome.stdout.split() == []
    # Bytecode: a cold start would compile all else, each time (2.4 s of CPU instead of 0.9 s).
    assert outcome.stderr.split() == []


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda each: each.name)
def test_what_lambda_gets_is_small_and_is_what_was_tested(function: FunctionZip) -> None:
    cloud = _zip("cloud", function)
    assert cloud.stat().st_size <= ZIP_MAX_BYTES
    names, tested = _names(cloud), _names(_zip("local", function))
    assert _own(names) == _own(tested)
    assert _distributions(names) == _distributions(tested)
    assert all("aarch64" in name or ".abi3." in name for name in names if name.endswith(".so"))


def test_a_function_has_only_what_it_is_for() -> None:
    for function in FUNCTIONS:
        names = _names(_zip("cloud", function))
        tops = {name.partition("/")[0] for name in names}
        assert not tops & {"feeder", "executor", "sandbox", "tests", "boto3", "nats", "uvloop"}
        assert ("polymarket" in tops) == (function.name == "settle")
        services = {
            n.split("/")[2] for n in names if n.startswith("botocore/data/") and n.count("/") > 2
        }
        assert services == {"dynamodb", "secretsmanager"}
