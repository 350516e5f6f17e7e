"""Routes are found by the beginning of the path, and found as before."""

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.routing import Match, Mount

from crm_api import registry
from crm_api.web.routes import RouteTable

ROUTES = [route for router in registry.routers() for route in router.routes]
NOBODY = "01890a5d-ac96-774b-bcce-b302099a8057"


def asked(path, method="GET", kind="http", root_path=""):
    return {"type": kind, "method": method, "path": path, "root_path": root_path, "headers": [], "query_string": b""}


def one_after_the_other(scope):
    """Return the first full match, or the first that lacks the method only."""
    matches = [(each.matches(scope)[0], each) for each in ROUTES]
    for wanted in (Match.FULL, Match.PARTIAL):
        found = [each for match, each in matches if match is wanted]
        if found:
            return wanted, found[0]
    return Match.NONE, None


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE", "TRACE"])
def test_each_is_found_as_one_after_the_other_would_find_it(method):
    table, seen = RouteTable(ROUTES), 0
    for path in sorted({route.path for route in ROUTES}):
        for written in (path, path.replace("{id}", NOBODY), f"{path}/", f"{path}/more/of/it"):
            match, found = table.matches(asked(written, method))
            assert (match, found.get("route")) == one_after_the_other(asked(written, method)), written
            seen += match is Match.FULL
    assert (seen > 10) is (method != "TRACE")


def test_below_another_root():
    match, found = RouteTable(ROUTES).matches(asked(f"/crm/v1/customers/{NOBODY}", root_path="/crm"))
    assert (match, found["route"].path, found["path_params"]) == (Match.FULL, "/v1/customers/{id}", {"id": NOBODY})


@pytest.mark.parametrize(
    "path", ["", "/", "/v1", "/v1/", "/v2/customers", "//customers", "/v1/customers2", "/V1/customers"]
)
def test_what_is_nowhere(path):
    assert RouteTable(ROUTES).matches(asked(path)) == (Match.NONE, {})


def test_other_protocols_are_not_for_it():
    assert RouteTable(ROUTES).matches(asked("/v1/customers", kind="websocket")) == (Match.NONE, {})


def test_what_it_could_not_find_is_refused():
    router = APIRouter()
    router.add_api_route("/{tenant}/customers", lambda: None)
    for routes in (router.routes, [Mount("/v1/files", routes=[])]):
        with pytest.raises(ValueError, match="beginning of its path"):
            RouteTable(routes)
    assert isinstance(router.routes[0], APIRoute)
