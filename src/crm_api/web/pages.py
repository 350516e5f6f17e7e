"""The two pages for people, GraphiQL and the REST documents, with every asset from this package."""

import gzip
import hashlib
from functools import cache
from importlib.resources import files
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

_TYPES: Final = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}
_NAMES: Final = frozenset(
    {
        "graphiql.min.js",
        "graphiql.min.css",
        "react.production.min.js",
        "react-dom.production.min.js",
        "swagger-ui-bundle.js",
        "swagger-ui.css",
        "graphiql-start.js",
        "docs-start.js",
        "pages.css",
    }
)
# Styles are set by scripts in both pages; scripts come from us alone, and nothing is sent anywhere else.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
_ICON: Final = '<link rel="icon" href="data:,">'


@cache
def _asset(name: str) -> tuple[bytes, str]:
    """Return an asset, gzip'd, and its version."""
    folder = files("crm_api.web") / "static"
    packed = folder / f"{name}.gz"
    data = packed.read_bytes() if packed.is_file() else gzip.compress((folder / name).read_bytes(), mtime=0)
    return data, hashlib.sha256(data).hexdigest()[:12]


def _url(name: str) -> str:
    return f"/static/{name}?v={_asset(name)[1]}"


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _NAMES:
        raise HTTPException(404)
    data, version = _asset(name)
    headers = {
        # The address holds the version, so what was fetched once stays good.
        "cache-control": "public, max-age=31536000, immutable",
        "etag": f'"{version}"',
        "vary": "accept-encoding",
        "x-content-type-options": "nosniff",
    }
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
    else:
        data = gzip.decompress(data)
    return Response(data, headers=headers, media_type=_TYPES[name.rpartition(".")[2]])


def _page(title: str, body: str, styles: tuple[str, ...], scripts: tuple[str, ...], kind: str) -> Response:
    links = "".join(f'<link rel="stylesheet" href="{_url(name)}">' for name in styles)
    tags = "".join(f'<script src="{_url(name)}"></script>' for name in scripts)
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>{_ICON}'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{links}</head>'
        f'<body class="{kind}">{body}<div id="app"></div>{tags}</body></html>',
        headers=_HEADERS,
    )


def graphiql_page() -> Response:
    """Return GraphiQL."""
    key = (
        '<label id="key">API key <input type="password" autocomplete="off" spellcheck="false" '
        'placeholder="crm_… (stays in this tab)"></label>'
    )
    scripts = ("react.production.min.js", "react-dom.production.min.js", "graphiql.min.js", "graphiql-start.js")
    return _page("crm-api · GraphiQL", key, ("graphiql.min.css", "pages.css"), scripts, "graphiql")


async def _docs(_request: Request) -> Response:
    scripts = ("swagger-ui-bundle.js", "docs-start.js")
    return _page("crm-api · REST", "", ("swagger-ui.css", "pages.css"), scripts, "docs")


def page_routes() -> list[BaseRoute]:
    """Return the routes of the REST documents and of all assets."""
    return [
        Route("/docs", _docs, methods=["GET"], include_in_schema=False),
        Route("/static/{name}", _static, methods=["GET"], include_in_schema=False),
    ]
