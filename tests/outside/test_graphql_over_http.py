"""GraphQL over HTTP, as the `graphql-http` project audits it."""

import re
import shutil

from tests.outside.support import NODE, run

AUDITS = 61


def test_every_audit_of_graphql_http_is_met(server):
    output = run([shutil.which("node") or "node", "audit.mjs", f"{server.url}/graphql", server.key], cwd=NODE)

    met, total = map(int, re.search(r"^(\d+) of (\d+) audits met$", output, re.MULTILINE).groups())
    assert (met, total) == (AUDITS, AUDITS), output
