"""The OpenAPI document in the hands of those who generate clients from it."""

import shutil

from tests.outside.support import NODE, node_tool, run

QUIET = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}


def test_redocly_finds_nothing(openapi_file):
    run([node_tool("redocly"), "lint", str(openapi_file), "--config", str(NODE / "redocly.yaml")], env=QUIET)


def test_typescript_types_made_from_it_compile_strictly_and_serve_a_client(openapi_file, tmp_path):
    # The flag: a field of a request that has a default may be left out.
    options = ["--default-non-nullable", "false", "--output", str(tmp_path / "schema.ts")]
    run([node_tool("openapi-typescript"), str(openapi_file), *options])
    shutil.copy(NODE / "client.ts", tmp_path)

    run(
        [
            node_tool("tsc"),
            "--strict",
            "--noEmit",
            "--target",
            "es2022",
            "--module",
            "preserve",
            "schema.ts",
            "client.ts",
        ],
        cwd=tmp_path,
    )
