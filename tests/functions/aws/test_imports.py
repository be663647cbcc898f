"""What a function's process loads before its first event: a cold start waits for all of it."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[3]
ROOTS = {
    "aiobotocore",
    "aiohttp",
    "msgspec",
    "pycryptodome",
    "pydantic",
    "pydantic-settings",
    "structlog",
}
"""Of which distributions a zip is made: `requirements/lambda.in`."""
OPTIONAL = {"rich", "httpx", "cffi", "certifi"}
"""Taken by structlog, aiobotocore, pycryptodome and botocore where installed; not in the zip."""
PROGRAM = f"""
import json, sys
sys.modules |= dict.fromkeys({sorted(OPTIONAL)!r})
import functions.aws.entry_points
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""


def name_of(text: str) -> str:
    return text.lower().replace("_", "-")


def closure(roots: set[str]) -> set[str]:
    found: set[str] = set()
    left = list(roots)
    while left:
        name = name_of(left.pop())
        if name in found:
            continue
        found.add(name)
        for text in requires(name) or ():
            wanted = Requirement(text)
            if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
                left.append(wanted.name)
    return found


def test_nothing_is_imported_that_the_zip_does_not_hold() -> None:
    done = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(json.loads(done.stdout)) - OPTIONAL
    owners = packages_distributions()
    taken = {name_of(each) for module in loaded for each in owners.get(module, ())}
    assert {"aiobotocore", "botocore", "pycryptodome"} <= taken
    ours = {"streaming-executor"}
    # Those beside the interpreter itself (site-packages' own start-up files).
    assert taken - closure(ROOTS) - ours <= {"setuptools", "pip", "coverage"}
    assert not {"polymarket", "eth_utils", "eth_account", "boto3", "prometheus_client"} & loaded
