"""`executor alert run|test`: the process that tells a person, and whether it would reach one."""

from __future__ import annotations

import asyncio
import logging
import sys

import typer

from executor.alerts.heartbeat import pinged
from executor.alerts.sending import SEND_MAX_S, sent_in_thread
from executor.alerts.services import AlertService, ServiceError, services_in, silence_libraries
from executor.alerts.settings import AlertSettings, AlertUrls
from executor.answers import EXIT_FAILED, refuse, say
from executor.rendering import BAD, GOOD, plain
from runtime.log import configure_logging
from runtime.settings import load_settings, refuse_to_start

_NOTHING = "ALERT_URLS and HEARTBEAT_URL are not set: there is nobody to tell"

app = typer.Typer(
    no_args_is_help=True,
    help="Tell a person who is away what happens: ALERT_URLS says where (Telegram, e-mail, Discord "
    "and a hundred more, by apprise), HEARTBEAT_URL whom silence alarms.",
)


@app.command()
def run() -> None:
    """Watch the system and its accounts, and send alerts, until stopped. `executor paper` and
    `executor live` start it where ALERT_URLS or HEARTBEAT_URL is set."""
    configure_logging(service="alerts", libraries_from=logging.ERROR)
    silence_libraries()
    settings = load_settings(AlertSettings)
    if settings.alert_urls is None and settings.heartbeat_url is None:
        refuse_to_start(_NOTHING)
    try:
        services = services_in(settings.alert_urls)
    except ServiceError as error:
        refuse_to_start(str(error))
    # Here, because a test needs none of it, and the image, which has no apprise, has not all of it.
    from executor.alerts.service import serve  # noqa: PLC0415 - see above
    from runtime.process import run_service  # noqa: PLC0415 - see above

    sys.exit(run_service(serve(settings, services)))


@app.command()
def test() -> None:
    """Send a test message to each service now, and say which took it; ping the heartbeat, too."""
    silence_libraries()
    settings = load_settings(AlertUrls)
    if settings.alert_urls is None and settings.heartbeat_url is None:
        refuse(_NOTHING)
    try:
        services = services_in(settings.alert_urls)
    except ServiceError as error:
        refuse(str(error))
    told = asyncio.run(_tested(services, settings))
    for label, why in told.items():
        say(plain(f"not sent  {label}: {why}", BAD) if why else plain(f"sent      {label}", GOOD))
    if any(told.values()):
        raise typer.Exit(EXIT_FAILED)


async def _tested(services: tuple[AlertService, ...], settings: AlertUrls) -> dict[str, str | None]:
    title = "TEST: alerts of the streaming executor reach you"
    text = "Nothing has happened. This was sent by: executor alert test"

    async def one(service: AlertService) -> str | None:
        return await sent_in_thread(lambda: service.send(title, text, alarm=False), SEND_MAX_S)

    answers = await asyncio.gather(*(one(each) for each in services))
    told = dict(zip([each.label for each in services], answers, strict=True))
    if settings.heartbeat_url is not None:
        told["HEARTBEAT_URL"] = await pinged(settings.heartbeat_url)
    return told
