"""GraphQL over HTTP, as the `graphql-http` project audits it."""

import re

from tests.outside.support import NODE, node_tool, run

AUDITS = 61


def test_every_audit_of_graphql_http_is_met(server):
    node_tool("tsc")  # skips when the npm packages are not there
    output = run(["node", "audit.mjs", f"{server.url}/graphql", server.key], cwd=NODE)

    met, total = map(int, re.search(r"^(\d+) of (\d+) audits met$", output, re.MULTILINE).groups())
    assert (met, total) == (AUDITS, AUDITS), output
