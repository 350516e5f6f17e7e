-- Logins and roles for a production database: run once by a superuser, in the database crm-api will use.
--
--   psql -v owner_password=… -v api_password=… -f deploy/postgres-init.sql
--
-- Three kinds of identity, so that a hole in one is not a hole in all:
--   crm_owner  login; owns the tables; used by `crm-api migrate` only (CRM_MIGRATION_DATABASE_URL)
--   crm_api    login; owns nothing; used by the API and the worker (CRM_DATABASE_URL)
--   crm_app, crm_system  no login; what crm_api turns into at connect: row-level security holds for crm_app,
--              crm_system may read the few tables that span tenants
\set ON_ERROR_STOP on

-- May be run again: what exists is left, passwords are set anew (roles belong to the server, so a second database of
-- the same server finds them).
SELECT format('CREATE ROLE %I', wanted) FROM unnest(ARRAY['crm_app', 'crm_system', 'crm_owner', 'crm_api']) AS wanted
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) \gexec
ALTER ROLE crm_owner LOGIN PASSWORD :'owner_password';
-- NOINHERIT: the API has no rights at all before it says which of the two roles it is.
ALTER ROLE crm_api LOGIN NOINHERIT PASSWORD :'api_password';

-- The owner hands out table rights to both roles; the API's login may become either, and nothing more.
GRANT crm_app, crm_system TO crm_owner WITH ADMIN OPTION;
GRANT crm_app, crm_system TO crm_api;

SELECT format('ALTER DATABASE %I OWNER TO crm_owner', current_database()) \gexec
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database()) \gexec
SELECT format('GRANT CONNECT ON DATABASE %I TO crm_api', current_database()) \gexec
ALTER SCHEMA public OWNER TO crm_owner;
