-- The role with which gitaly-exporter reads Praefect's database. PostgreSQL 11 to 18.
--
-- Run it in Praefect's database, as a superuser, as the master user of a managed server (RDS, Cloud SQL, Azure),
-- or as the owner of Praefect's tables if that role may create roles:
--
--     psql -d praefect_production -f role.sql
--
-- Then set the role's password; psql sends it hashed:
--
--     \password gitaly_exporter
--
-- Plain SQL for every client; running it again changes nothing. For another role name replace gitaly_exporter
-- everywhere. docs/database-access.md covers pg_hba.conf, PgBouncer and managed servers.

BEGIN;

-- Nothing that another role may have created in public, a function or an operator, is called by these statements.
SET LOCAL search_path = pg_catalog;

-- 1. The role: it may log in, and nothing else. An exporter holds one connection; five allow for rollouts.
--    The time limits are for other uses of the role: the exporter sets shorter ones itself.
--
--    default_transaction_read_only is not set on purpose. Every transaction of the exporter is READ ONLY, the
--    grants below allow nothing but reading, and a setting of the role would hide the server's own:
--    praefect_db_read_only{reason="setting"} could not report that the server became read-only.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'gitaly_exporter') THEN
    CREATE ROLE gitaly_exporter LOGIN;
  END IF;
END
$$;
ALTER ROLE gitaly_exporter CONNECTION LIMIT 5;
ALTER ROLE gitaly_exporter SET statement_timeout = '60s';
ALTER ROLE gitaly_exporter SET lock_timeout = '2s';
ALTER ROLE gitaly_exporter SET idle_in_transaction_session_timeout = '60s';

-- 2. SELECT on Praefect's tables and views, one by one: those that this version of Praefect has. They contain
--    names and paths of repositories, and no other secrets.
DO $$
DECLARE
  praefect_schema name;
  praefect_owner name;
  relation record;
BEGIN
  SELECT n.nspname, r.rolname INTO praefect_schema, praefect_owner
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_roles r ON r.oid = c.relowner
   WHERE c.relname = 'replication_queue' AND c.relkind = 'r'
   ORDER BY n.nspname = 'public' DESC
   LIMIT 1;
  IF praefect_schema IS NULL THEN
    RAISE EXCEPTION 'there is no table replication_queue in database %', current_database()
      USING HINT = 'Connect to the database of Praefect, after "praefect sql-migrate" has run.';
  END IF;

  EXECUTE format('GRANT CONNECT ON DATABASE %I TO gitaly_exporter', current_database());
  EXECUTE format('GRANT USAGE ON SCHEMA %I TO gitaly_exporter', praefect_schema);
  IF praefect_schema <> 'public' THEN
    EXECUTE format('ALTER ROLE gitaly_exporter IN DATABASE %I SET search_path = %I',
                   current_database(), praefect_schema);
  END IF;

  FOR relation IN
    SELECT c.relname AS name
      FROM pg_catalog.pg_class c
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = praefect_schema
       AND c.relkind IN ('r', 'p', 'v', 'S')
       AND c.relname IN (
             'schema_migrations', 'node_status', 'shard_primaries',
             'replication_queue', 'replication_queue_lock', 'replication_queue_job_lock',
             'repositories', 'storage_repositories', 'repository_assignments',
             'virtual_storages', 'storage_cleanups', 'repository_reference_write_locks',
             'healthy_storages', 'repository_generations', 'valid_primaries',
             -- its last value is the number of jobs ever enqueued
             'replication_queue_id_seq')
  LOOP
    EXECUTE format('GRANT SELECT ON %I.%I TO gitaly_exporter', praefect_schema, relation.name);
  END LOOP;

  -- 3. Default privileges: SELECT on tables that later migrations of Praefect create, or drop and recreate without
  --    their grants (the view valid_primaries in 14.5). Without this, run the file again after each upgrade; until
  --    then queries of such a table fail, and the message names it.
  --    Only for the owner's future tables in Praefect's schema, and only for reading.
  BEGIN
    EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I GRANT SELECT ON TABLES TO gitaly_exporter',
                   praefect_owner, praefect_schema);
    EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I GRANT SELECT ON SEQUENCES TO gitaly_exporter',
                   praefect_owner, praefect_schema);
  EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'only % can grant SELECT on its future tables: run this file as that role as well, or again after each upgrade',
                 praefect_owner;
  END;
END
$$;

-- 4. States and times of other sessions, which pg_stat_activity hides from other roles. This is the part of
--    pg_monitor that is needed; it also shows the texts of running queries. Without it, these are absent:
--    praefect_db_longest_transaction_seconds, praefect_db_connections by state (all count as unknown), and before
--    PostgreSQL 14 praefect_db_longest_blocked_seconds. To leave it out, delete this block.
DO $$
BEGIN
  GRANT pg_read_all_stats TO gitaly_exporter;
EXCEPTION WHEN insufficient_privilege THEN
  RAISE NOTICE 'pg_read_all_stats was not granted: only a superuser or a role that has it WITH ADMIN OPTION can grant it';
END
$$;

COMMIT;
