"""Who is let in, and what a browser may do with our pages.

1. Only requests that name this console in `Host`: a stranger's name that resolves to this machine
   (DNS rebinding) is refused, and so is what arrives for another one.
2. Only browsers with a session's cookie: HttpOnly, SameSite=Strict. It is given for a one-time link
   (`links`), or for CONSOLE_TOKEN.
3. What changes something is a POST, from a page of this console: by `Origin`, and by
   `Sec-Fetch-Site` where a browser says it. On a read-only console there is none.
4. Our pages load nothing from anywhere else, run no script that stands in them, and are shown in no
   other page. Nothing is kept by a cache.

What is secret here (links, cookies, the token) is in no log: there is no log of requests.
"""

from __future__ import annotations

import asyncio
import hmac
from typing import Final

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from executor.console.links import Links
from executor.console.pages import Pages
from executor.console.sessions import Sessions
from executor.console.settings import ConsoleSettings, is_unspecified
from runtime.line_throttle import LineThrottle

NEW_LINK: Final = "A new link is what `executor console --link` says, in a terminal."
TARGET_LENGTH_MAX: Final = 2_000
"""Of a request's path and query."""
BODY_BYTES_MAX: Final = 64 << 10
BODY_TIMEOUT_S: Final = 10.0
_FORM: Final = "application/x-www-form-urlencoded"
SAFE_METHODS: Final = ("GET", "HEAD")
_LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not no-referrer: with it browsers say `Origin: null` when a form is posted.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_log = structlog.get_logger()


class Door:
    """The middleware, and the two ways in."""

    def __init__(self, settings: ConsoleSettings, links: Links, pages: Pages) -> None:
        self.port = settings.console_port
        """Where it is served; set again once that is known."""
        self._settings, self._links, self._pages = settings, links, pages
        self._sessions = Sessions()
        self._defects = LineThrottle()

    def routes(self) -> tuple[web.AbstractRouteDef, ...]:
        """What a browser without a session may ask for, beside the static files."""
        found = [web.get("/open/{secret}", self._open, allow_head=False)]
        if self._settings.console_token is not None:
            found += [web.get("/open", self._ask_for_token), web.post("/open", self._take_token)]
        return tuple(found)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Around every request, whether there is such a path or not."""
        try:
            if refused := self._refusal(request):
                return self._say(*refused)
            if request.method not in SAFE_METHODS and (refused := await _body_refusal(request)):
                return self._say(*refused)
            return await handler(request)
        except web.HTTPException as answer:
            if answer.status < 400:
                raise
            return self._say(answer.status, _SENTENCES.get(answer.status, "This cannot be done."))
        except ConnectionError:
            return self._say(400, "The browser has gone.")
        except Exception as error:  # noqa: BLE001 - a defect of one page
            if (unlogged := self._defects.admit()) is not None:
                route = request.match_info.route.resource
                where = "" if route is None else route.canonical
                _log.error(
                    "console_page_failed", page=where, exc_info=error, unlogged_before=unlogged
                )
            return self._say(500, "This page has failed; the log says why. The others go on.")

    async def add_headers(self, _: web.Request, response: web.StreamResponse) -> None:
        """For `Application.on_response_prepare`: on every answer."""
        response.headers.update(_HEADERS)
        response.headers.popall("Server", None)

    def _refusal(  # noqa: PLR0911 - one return a refusal is the clearest form
        self, request: web.Request
    ) -> tuple[int, str] | None:
        """Status and sentence, for who is not let in."""
        changes = request.method not in SAFE_METHODS
        if request.headers.getall("Host", []) not in [[name] for name in self._names(request)]:
            return 421, "This console answers to another name; ask for it by that one."
        if len(request.path_qs) > TARGET_LENGTH_MAX:
            return 414, "This address is too long."
        if changes and not self._is_own(request):
            return 403, "This did not come from a page of this console; it was not done."
        if request.path == "/open" or request.path.startswith(("/open/", "/static/")):
            return None
        if not self._sessions.knows(request.cookies.get(self._cookie)):
            return 401, f"This browser has not been let in. {self._way_in()}"
        if changes and self._settings.console_read_only:
            return 403, "This console is read-only (CONSOLE_READ_ONLY); it was not done."
        return None

    def _names(self, request: web.Request) -> list[str]:
        """What `Host` may be."""
        host = self._settings.console_host
        if is_unspecified(host):  # the address that it came to: nobody's name resolves to a number
            host = (request.get_extra_info("sockname") or [host])[0]
        hosts = {*_LOOPBACK, f"[{host}]" if ":" in host else host.lower()}
        bare = sorted(hosts) if self.port == 80 else []
        return [f"{each}:{self.port}" for each in sorted(hosts)] + bare

    @staticmethod
    def _is_own(request: web.Request) -> bool:
        """Whether a page of ours has sent it; `Host` has been looked at."""
        host = request.headers["Host"]
        sites = request.headers.getall("Sec-Fetch-Site", [])
        origins = request.headers.getall("Origin", [])
        if sites not in ([], ["same-origin"]) or len(origins) != 1:
            return False
        # A server with TLS in front of us has another name; then the browser's own word counts.
        by_proxy = bool(sites) and origins[0].startswith("https://")
        return by_proxy or origins[0] in (f"http://{host}", f"https://{host}")

    @property
    def _cookie(self) -> str:
        """Cookies know no ports: two consoles of one machine would take each other's."""
        return f"executor_console_{self.port}"

    def _way_in(self) -> str:
        token = self._settings.console_token is not None
        return f"{NEW_LINK} Or type the token at /open." if token else NEW_LINK

    async def _open(self, request: web.Request) -> web.Response:
        ahead = (request.headers.get(name, "") for name in ("Sec-Purpose", "Purpose", "X-Moz"))
        if any("prefetch" in each.lower() for each in ahead):
            return self._say(403, "A link that works once is not fetched ahead.")
        if why := self._links.use(request.match_info["secret"]):
            return self._say(403, f"{why} {self._way_in()}")
        return self._let_in()

    async def _ask_for_token(self, _: web.Request) -> web.Response:
        return self._html(self._pages.part("door_parts.html", "token_form"))

    async def _take_token(self, request: web.Request) -> web.Response:
        form = await request.post()
        told, token = form.get("token"), self._settings.console_token
        assert token is not None  # noqa: S101 - or there is no such route
        right = token.get_secret_value().encode()
        if not isinstance(told, str) or not hmac.compare_digest(told.encode(), right):
            return self._say(403, "This is not the token.")
        return self._let_in()

    def _let_in(self) -> web.Response:
        # A page that goes on by itself, not a redirect: a cookie with SameSite=Strict is not sent
        # on with a redirect where the link was followed from another site.
        response = self._html(self._pages.part("door_parts.html", "let_in"))
        response.set_cookie(
            self._cookie, self._sessions.begin(), httponly=True, samesite="Strict", path="/"
        )
        return response

    def _say(self, status: int, sentence: str) -> web.Response:
        page = self._pages.part("door_parts.html", "sentence", status=status, sentence=sentence)
        return self._html(page, status)

    @staticmethod
    def _html(page: str, status: int = 200) -> web.Response:
        return web.Response(text=page, status=status, content_type="text/html")


async def _body_refusal(request: web.Request) -> tuple[int, str] | None:
    """Status and sentence, for what is no form; one is read by then. Raises HTTPException where it
    is too long, and ConnectionError."""
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            body = await request.read()
    except TimeoutError:
        return 408, "The form did not come to its end."
    except web.RequestPayloadError:
        return 400, "This is no form."
    if body and request.content_type != _FORM:
        return 415, "This is no form."
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return 400, "This form is not written in UTF-8."
    if (request.charset or "utf-8").lower() != "utf-8":
        return 415, "This form is not written in UTF-8."
    return None


_SENTENCES: Final = {
    400: "This is no form.",
    404: "There is no such page.",
    405: "This cannot be done with this page.",
    413: "This is more than the console takes.",
    503: "Too many windows show the console; close some.",
}
