"""Schemathesis: generated requests, good and bad, against what the documents promise."""

import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.outside.support import Server, run, script

CONFIG = Path(__file__).resolve().parent / "schemathesis.toml"
HALF = "^/v1/[a-e]"
"""Of the operations: a run sends one request at a time and waits for the answer, so two at once keep two CPUs busy."""


def schemathesis(server: Server, *arguments: str) -> str:
    command = [script("schemathesis"), "--config-file", str(CONFIG), "run", "--no-color"]
    output = run([*command, "--header", f"Authorization: Bearer {server.key}", *arguments], seconds=600)
    sys.stdout.write(output[-3000:])
    return output


def test_rest_answers_as_its_openapi_document_says(server, openapi_file):
    def check(chosen: str) -> str:
        phases = ("--phases", "examples,coverage,fuzzing")
        return schemathesis(server, str(openapi_file), "--url", server.url, *phases, chosen, HALF)

    with ThreadPoolExecutor() as threads:
        for output in threads.map(check, ("--include-path-regex", "--exclude-path-regex")):
            assert re.search(r"\d+ generated", output), output


def test_rest_answers_so_along_its_links(server, openapi_file):
    output = schemathesis(server, str(openapi_file), "--url", server.url, "--phases", "stateful")

    walked = re.search(r"Scenarios: +(\d+)\n +API Links: +(\d+) covered", output)
    assert walked is not None, output
    assert min(map(int, walked.groups())) > 0, output


def test_graphql_survives_generated_documents(server):
    output = schemathesis(server, f"{server.url}/graphql", "--max-examples", "8")

    assert re.search(r"\d+ generated", output), output
