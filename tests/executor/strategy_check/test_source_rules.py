"""What may stand in a strategy's file, and what is said of what may not."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from executor.strategy_check.source_rules import broken_rules
from functions.core.strategy_rules import StrategyNotUsableError
from strategies.builtin import BUILTIN
from strategies.interface import Strategy
from tests.support.strategy_files import write_strategy


def broken(folder: Path, source: str) -> str:
    path = folder / "some.py"
    path.write_text(source, encoding="utf-8")
    return "; ".join(broken_rules(path))


@pytest.mark.parametrize("strategy", BUILTIN.values())
def test_the_built_ins_keep_the_rules(strategy: type[Strategy]) -> None:
    assert broken_rules(Path(inspect.getfile(strategy))) == []


def test_what_is_written_by_new_keeps_the_rules(tmp_path: Path) -> None:
    assert broken_rules(write_strategy(tmp_path)) == []


@pytest.mark.parametrize(
    "source",
    [
        "import math, statistics, itertools, functools, operator\nx = operator.add(1, 2)",
        "from collections import deque\nfrom decimal import Decimal\nimport fractions",
        "import bisect, heapq, numbers, cmath\nfrom dataclasses import dataclass, field",
        "from pydantic import field_validator\nimport msgspec\nfrom typing import Final",
        "from protocol.fee import taker_fee_e6\nimport strategies.view",
        "WEIGHTS = {1: 0.5}\ndef f(x):\n  return WEIGHTS[x]",
        "def f():\n  own = []\n  own.append(1)\n  own[0] = 2\n  return own",
        "class A:\n  def __init__(self):\n    self._x = 1\n    self.y = self._x",
        "def _helper(a, b=1):\n  return a + b\ndef f():\n  return _helper(2)",
        "class A:\n  def _own():\n    return 1\n  def f():\n    return A._own()",
        "def f(rows):\n  return [row for row in reversed(rows) if row][:3]",
        "x: 'int | None' = None",
        "def f(values):\n  each = iter(values)\n  return next(each)",
        "TABLE = []\nfor i in range(3):\n  TABLE.append(i)",
    ],
)
def test_what_computes_is_allowed(source: str, tmp_path: Path) -> None:
    assert broken(tmp_path, source) == ""


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import os", "some.py:1: imports os: a strategy may import bisect"),
        ("import time", "imports time"),
        ("import random", "imports random"),
        ("from statistics import NormalDist\nx = NormalDist().samples(1)", "calls .samples()"),
        ("from pydantic import PastDatetime", "takes PastDatetime from pydantic"),
        ("from datetime import datetime", "imports datetime"),
        ("import urllib.request", "imports urllib.request"),
        ("import socket, threading, asyncio, logging, subprocess, ctypes, sys", "imports ctypes"),
        ("import numpy", "imports numpy"),
        ("from functions.core import gate", "imports functions.core"),
        ("from . import other", "imports relatively"),
        ("from math import *", "imports *"),
        ("def f():\n  import math", "some.py:2: imports inside a function"),
        ("import enum\nx = enum.sys.modules", "takes the module sys out of enum"),
        ("from enum import sys", "takes the module sys out of enum"),
        ("import strategies.memory\nx = strategies.memory.hashlib", "takes the module hashlib"),
        ("from strategies import memory\nx = memory.hashlib", "takes the module hashlib"),
        ("import msgspec\nmsgspec.json", "takes the module json out of msgspec"),
        ("import statistics as s\ns.random.random()", "takes the module random out of statistics"),
        ("from functools import lru_cache", "takes lru_cache from functools, which keeps"),
        ("import functools\n@functools.cache\ndef f(): pass", "takes cache from functools"),
        ("import operator\noperator.attrgetter('x')", "takes attrgetter from operator"),
        ("import typing\ntyping.get_type_hints", "takes get_type_hints from typing"),
        ("from pydantic import FilePath", "takes FilePath from pydantic"),
        ("from decimal import getcontext", "takes getcontext from decimal"),
        ("open('x')", "uses open: a strategy reads and writes nothing"),
        ("x = print", "uses print"),
        ("eval('1')", "uses eval"),
        ("exec('1')", "uses exec"),
        ("__import__('os')", "uses __import__"),
        ("input()", "uses input"),
        ("getattr(1, 'x')", "uses getattr"),
        ("globals()", "uses globals"),
        ("x = hash('a')", "uses hash: it differs from process to process"),
        ("x = id(1)", "uses id: it differs from process to process"),
        ("x = ().__class__.__base__.__subclasses__()", "uses .__subclasses__"),
        ("x = f.__globals__", "uses .__globals__"),
        ("x = __builtins__", "uses __builtins__"),
        ("x: \"__import__('os').system('ls')\" = 1", "calls something in an annotation"),
        ("async def f(): pass", "is asynchronous"),
        ("def f(view):\n  return view.memory._rows", "uses ._rows: it is another module's own"),
        ("n = 0\ndef f():\n  global n\n  n += 1", "keeps state: global and nonlocal"),
        ("def f():\n  n = 0\n  def g():\n    nonlocal n\n    n = 1", "keeps state"),
        ("def f(x, seen=[]): pass", "keeps state: a default that can be changed"),
        ("def f(x, *, seen=dict()): pass", "keeps state: a default that can be changed"),
        ("SEEN = []\ndef f(x):\n  SEEN.append(x)", "some.py:3: keeps state: changes SEEN"),
        ("SEEN = {}\ndef f(x):\n  SEEN[x] = 1", "keeps state: changes SEEN"),
        ("SEEN = {}\ndef f(x):\n  del SEEN[x]", "keeps state: changes SEEN"),
        ("class A:\n  n = 0\n  @staticmethod\n  def f():\n    A.n += 1", "keeps state: changes A"),
        ("EVERY = iter([1])\ndef f():\n  return next(EVERY)", "keeps state: changes EVERY"),
        ("def decide(view, parameters, now_ms):\n  view.up = 1", "changes view, which is the work"),
        ("def decide(view, p, now_ms):\n  view.memory.note(1)", "changes view, which is the work"),
        ("def decide(view, p, now_ms):\n  p.x = 1", "changes p, which is the worker's"),
    ],
)
def test_what_leads_elsewhere_is_named_with_its_line(
    source: str, said: str, tmp_path: Path
) -> None:
    text = broken(tmp_path, source)
    assert said in text
    assert "\n" not in text


def test_modules_beside_it_are_read_too_and_only_once(tmp_path: Path) -> None:
    (tmp_path / "mine_too.py").write_text("import some\nimport mine_three\n")
    (tmp_path / "mine_three.py").write_text("import socket\n")
    text = broken(tmp_path, "import mine_too\n")
    assert text.startswith("mine_three.py:1: imports socket")
    assert text.count("socket") == 1


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (b"def broken(:", "some.py, line 1: "),
        (b"x = '\x00'", "some.py"),
        (b"\xff\xfe", "some.py"),
        (b"x = " + b"(" * 3_000 + b")" * 3_000, "some.py"),
    ],
)
def test_what_is_no_python_is_one_line(source: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "some.py"
    path.write_bytes(source)
    with pytest.raises(StrategyNotUsableError) as caught:
        broken_rules(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
