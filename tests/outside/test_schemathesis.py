"""Schemathesis: generated requests, good and bad, against what the documents promise."""

import re
import sys
from pathlib import Path

from tests.outside.support import run, script

CONFIG = Path(__file__).resolve().parent / "schemathesis.toml"


def schemathesis(*arguments: str) -> str:
    return run([script("schemathesis"), "--config-file", str(CONFIG), "run", "--no-color", *arguments], seconds=600)


def test_rest_answers_as_its_openapi_document_says(server):
    output = schemathesis(f"{server.url}/openapi.json", "--header", f"Authorization: Bearer {server.key}")

    walked = re.search(r"Scenarios: +(\d+)\n +API Links: +(\d+) covered", output)
    assert walked is not None, output
    assert min(map(int, walked.groups())) > 0, output
    sys.stdout.write(output[-3000:])


def test_graphql_survives_generated_documents(server):
    output = schemathesis(
        f"{server.url}/graphql", "--header", f"Authorization: Bearer {server.key}", "--max-examples", "8"
    )

    assert re.search(r"\d+ generated", output), output
    sys.stdout.write(output[-3000:])
