"""Relay's compiler on the published schema, and its documents on the server."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

from tests.outside.support import NODE, ROOT, Server, node_tool, run

# skipLibCheck: the community's @types/relay-runtime is not ours to mend; what is generated from our schema is checked.
STRICT = ["--strict", "--noEmit", "--skipLibCheck", "--target", "es2022"]
STRICT += ["--module", "preserve", "--moduleResolution", "bundler"]


def test_relay_compiles_the_sample_and_the_server_answers_its_documents(server, tmp_path):
    shutil.copy(ROOT / "openapi" / "schema.graphql", tmp_path)
    shutil.copytree(NODE / "relay", tmp_path / "src")
    (tmp_path / "src" / "__generated__").mkdir()
    # Relay's generated types import relay-runtime.
    (tmp_path / "node_modules").symlink_to(NODE / "node_modules")
    config = {
        "src": "src",
        "schema": "schema.graphql",
        "language": "typescript",
        "artifactDirectory": "src/__generated__",
        "eagerEsModules": True,
        "noFutureProofEnums": False,
        "persistConfig": {"file": "documents.json"},
        "customScalarTypes": {},
    }
    (tmp_path / "documents.json").write_text("{}")
    (tmp_path / "relay.config.json").write_text(json.dumps(config))

    run([node_tool("relay-compiler"), "--noWatchman"], cwd=tmp_path)
    generated = [f"src/__generated__/{path.name}" for path in (tmp_path / "src" / "__generated__").iterdir()]
    assert generated
    run([node_tool("tsc"), *STRICT, *sorted(generated)], cwd=tmp_path)

    for operation, text in documents_of(tmp_path).items():
        server.graphql(text, variables_for(operation, server))


def documents_of(folder: Path) -> dict[str, str]:
    """Return operation name → the text Relay sends."""
    texts = json.loads((folder / "documents.json").read_text()).values()
    return {re.match(r"\w+ (\w+)", text)[1]: text for text in texts}


def variables_for(operation: str, server: Server) -> dict[str, Any]:
    if "Create" in operation:
        return {"input": {"name": "王小明"}}
    if "Card" in operation:
        created = server.graphql('mutation { customerCreate(input: {name: "李娜"}) { customer { id } } }')
        return {"id": created["customerCreate"]["customer"]["id"]}
    return {"first": 2}
