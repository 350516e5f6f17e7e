"""placeholder"""

from starlette.responses import HTMLResponse, Response


def page() -> Response:
    return HTMLResponse("")
