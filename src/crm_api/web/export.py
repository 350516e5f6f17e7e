"""The API's own description as files: ``openapi.json`` and ``schema.graphql``, reviewed like code."""

import json
from pathlib import Path

from fastapi import FastAPI

from crm_api.app import create_app
from crm_api.settings import Settings


def export_schemas(directory: Path, *, check: bool = False) -> list[Path]:
    """Bring the files in ``directory`` up to date; return those that were not.

    Args:
        directory: made when missing.
        check: only compare, write nothing.

    """
    stale = []
    for name, text in _documents(create_app(Settings())).items():
        path = directory / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path)
        if not check:
            directory.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return stale


def _documents(app: FastAPI) -> dict[str, str]:
    openapi = json.dumps(app.openapi(), indent=2, ensure_ascii=False)
    return {"openapi.json": f"{openapi}\n", "schema.graphql": f"{app.state.graphql.sdl().strip()}\n"}
