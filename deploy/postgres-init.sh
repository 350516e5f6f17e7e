#!/bin/sh
# Run by the postgres image on an empty data folder: hands the passwords to postgres-init.sql.
set -eu
psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" \
  -v owner_password="$(cat /run/secrets/owner_password)" \
  -v api_password="$(cat /run/secrets/api_password)" \
  -f /opt/crm-api/postgres-init.sql
