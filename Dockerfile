# crm-api in a container: `docker build -t crm-api .`
#
# Two stages: the first builds the wheel and installs every library by hash; the second holds only the result and runs
# as a user that owns nothing. One image serves all parts: `serve` (default), `worker`, `migrate`.
ARG PYTHON_IMAGE=python:3.13-slim-trixie

# --- build ---
FROM ${PYTHON_IMAGE} AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ONLY_BINARY=:all:

WORKDIR /src
RUN python -m venv /opt/build && python -m venv /opt/crm-api

# Libraries first: this layer changes only with the lock.
COPY requirements/ requirements/
RUN /opt/build/bin/pip install --no-deps --require-hashes -r requirements/build.txt \
 && /opt/crm-api/bin/pip install --no-deps --require-hashes -r requirements/runtime.txt

COPY pyproject.toml README.md LICENSE ./
COPY migrations/ migrations/
COPY src/ src/
# --no-build-isolation: built by the locked hatchling, nothing else is fetched.
RUN /opt/build/bin/pip wheel --no-deps --no-index --no-build-isolation --wheel-dir /wheels . \
 && /opt/crm-api/bin/pip install --no-deps --no-index /wheels/*.whl \
 && /opt/crm-api/bin/python -m compileall -q /opt/crm-api/lib \
 && /opt/crm-api/bin/pip check \
 && /opt/crm-api/bin/pip uninstall -y pip

# --- run ---
FROM ${PYTHON_IMAGE} AS run

LABEL org.opencontainers.image.title="crm-api" \
      org.opencontainers.image.description="Headless customer management over REST, GraphQL and webhooks" \
      org.opencontainers.image.licenses="MIT"

RUN groupadd --system --gid 10001 crm \
 && useradd --system --uid 10001 --gid crm --home-dir /var/lib/crm-api --create-home --shell /usr/sbin/nologin crm

COPY --from=build /opt/crm-api /opt/crm-api

ENV PATH=/opt/crm-api/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CRM_HOST=0.0.0.0 \
    CRM_PORT=8000 \
    CRM_HOME=/var/lib/crm-api \
    CRM_LOG_FORMAT=json

USER 10001:10001
WORKDIR /var/lib/crm-api
EXPOSE 8000

# Ready means: the database answers and is migrated. (`worker` has no port; compose.yaml switches this off for it.)
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ['CRM_PORT']}/readyz\", timeout=2)"]

ENTRYPOINT ["crm-api"]
CMD ["serve"]
