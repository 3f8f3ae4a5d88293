"""Templates to pages: everything that is not a template's own text is escaped, unseen characters too."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from audit.pages.language import LANGUAGES, WORDS
from audit.pages.readers import LANGUAGE_COOKIE, Reader, language_of
from audit.pages.text import date, short, shown, time

__all__ = ["STATIC", "draw", "say"]

_HERE: Final = Path(__file__).parent
STATIC: Final = _HERE / "static"


def draw(
    request: Request, template: str, reader: Reader | None, values: Mapping[str, Any], status: int = 200
) -> HTMLResponse:
    """The page of a template in the reader's language. A language chosen by the address is kept in a cookie."""
    language = language_of(request)
    content = (
        _environment()
        .get_template(template)
        .render(
            t=say(language),
            language=language,
            lang="zh-CN" if language == "zh" else "en",
            other=next(one for one in LANGUAGES if one != language),
            other_address=_with(request, lang=next(one for one in LANGUAGES if one != language)),
            path=request.url.path,
            reader=reader,
            page_address=lambda page: _with(request, page=str(page)),
            **values,
        )
    )
    response = HTMLResponse(content, status)
    response.headers["vary"] = "Cookie, Accept-Language"
    if request.query_params.get("lang") in LANGUAGES:
        response.set_cookie(LANGUAGE_COOKIE, language, max_age=365 * 24 * 3600, httponly=True, samesite="lax")
    return response


def say(language: str) -> Callable[..., str]:
    """The words of a language by key; KeyError for one that its catalogue does not have."""
    words = WORDS[language]

    def word(key: str, *fill: object) -> str:
        return words[key].format(*fill) if fill else words[key]

    return word


def _with(request: Request, **changed: str) -> str:
    kept = {name: value for name, value in request.query_params.items() if name not in changed}
    return f"{request.url.path}?{urlencode({**kept, **changed})}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(short=short, shown=shown, time=time, number=lambda value: f"{value:,}")
    environment.globals.update(static=_static, date=date)
    return environment


def _finalize(value: object) -> object:
    """Applied to every value that a template prints, before it is escaped."""
    return shown(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _static(name: str) -> str:
    """Address of a static file, with its digest, so that browsers may keep it for good."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?{digest}"
