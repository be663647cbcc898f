"""Fixtures that more than one test package uses."""

from __future__ import annotations

import ast
import functools
import gc
import logging
import os
import signal
import ssl
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from botocore.httpsession import where
from botocore.loaders import JSONFileLoader, Loader
from hypothesis import HealthCheck, settings

from tests.support.forked import forked
from tests.support.servers import NatsServer
from tests.support.session import UNTIL_THE_SESSION_ENDS

__all__ = ["forked"]

# Timings are no tests: machines are shared, and on a clean checkout the first example of a text
# strategy takes seconds, because hypothesis then builds its tables of characters.
# Half of the usual examples: what needs more of them says so itself.
settings.register_profile(
    "default here",
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile("default here")


# Collecting makes hundreds of thousands of objects, all of which stay: walking over them again and
# again costs each of the suite's processes seconds, then and for as long as it runs.
def pytest_configure() -> None:
    gc.disable()
    # A run in the background ignores Ctrl-C, and would hand that down to the processes it starts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Nobody outside this machine is talked to, and each settings class reads those that are named.
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "AWS_CA_BUNDLE"):
        os.environ.pop(name, None)


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def one_trust_store() -> Iterator[None]:
    """A client makes four TLS contexts, 0.1 s each, to talk to a venue without TLS."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", functools.cache(ssl.create_default_context))
        yield


@pytest.fixture(scope="session", autouse=True)
def nobody_whom_the_sdk_trusts() -> Iterator[None]:
    """Each of its clients reads the certificates that it brings, for endpoints without TLS."""
    load = ssl.SSLContext.load_verify_locations

    def load_others(context: ssl.SSLContext, cafile: Any = None, *a: Any, **named: Any) -> None:
        if cafile != where():
            load(context, cafile, *a, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl.SSLContext, "load_verify_locations", load_others)
        yield


@pytest.fixture(scope="session", autouse=True)
def one_description_of_aws() -> Iterator[None]:
    """Each session of the SDK reads megabytes of JSON anew, and lists thousands of directories."""
    files, services = JSONFileLoader.load_file, Loader.list_available_services

    @functools.cache
    def load_file(path: str) -> Any:
        return files(JSONFileLoader(), path)

    @functools.cache
    def listed(paths: tuple[str, ...], kind: str) -> list[str]:
        return services(Loader(list(paths), include_default_search_paths=False), kind)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JSONFileLoader, "load_file", lambda _, path: load_file(path))
        patch.setattr(
            Loader,
            "list_available_services",
            lambda loader, type_name: listed(tuple(loader.search_paths), type_name),
        )
        yield


@pytest.fixture(scope="session", autouse=True)
def no_cached_logs() -> Iterator[None]:
    """A logger that is cached keeps the configuration of the test that used it first."""
    configure = structlog.configure

    def without_cache(**how: Any) -> None:
        configure(**{**how, "cache_logger_on_first_use": False})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structlog, "configure", without_cache)
        yield


@pytest.fixture(scope="session", autouse=True)
def undisturbed_parser() -> Iterator[None]:
    """CPython 3.11 counts the depth of all that it parses at once in one place (gh-106905).

    The collector may run in the middle of it, and a finalizer that parses too, as whatever shows a
    traceback does, ends it with a SystemError: a task of an earlier test, say, whose error nobody
    asked for.
    """
    parse = ast.parse

    @functools.wraps(parse)
    def uncollected(*args: Any, **options: Any) -> ast.AST:
        enabled = gc.isenabled()
        gc.disable()
        try:
            return parse(*args, **options)
        finally:
            if enabled:
                gc.enable()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ast, "parse", uncollected)
        yield


@pytest.fixture(scope="session", autouse=True)
def what_was_started_once_is_stopped() -> Iterator[None]:
    """Servers that tests share."""
    with UNTIL_THE_SESSION_ENDS:
        yield


@pytest.fixture(autouse=True)
def same_log_for_each_test() -> Iterator[None]:
    """What a test configures is for that test: the next one looks for its lines on stdout, and its
    errors that nobody can raise are pytest's."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    hooks = sys.excepthook, sys.unraisablehook, threading.excepthook
    yield
    sys.excepthook, sys.unraisablehook, threading.excepthook = hooks
    root.setLevel(level)
    if structlog.is_configured():
        structlog.reset_defaults()
        root.handlers = handlers


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A fresh nats-server with JetStream for this test alone; `nats_server.url` is its address."""
    with NatsServer(tmp_path / "jetstream") as server:
        yield server
