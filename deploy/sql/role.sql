-- The role that gitaly-exporter reads Praefect's database with. PostgreSQL 11 to 18.
--
-- Run it in Praefect's database, as a superuser, as the master user of a managed server (RDS, Cloud SQL, Azure),
-- or as the owner of Praefect's tables if that role may create roles:
--
--     psql -d praefect_production -f role.sql
--
-- Then give the role a password; it is in no file, and psql sends it hashed:
--
--     \password gitaly_exporter
--
-- Plain SQL, for every client; running it again changes nothing. Another name for the role: replace
-- gitaly_exporter throughout. docs/database-access.md has pg_hba.conf, PgBouncer and managed servers.

BEGIN;

-- 1. The role: may log in, and nothing else. One exporter holds one connection; five leave room for a roll-out.
--    The time limits are for the day when the exporter is not what uses this role: it sets shorter ones itself.
--
--    default_transaction_read_only is left alone on purpose. Every transaction of the exporter is READ ONLY by
--    its own word, the grants below allow nothing but reading, and a value for the role would hide the server's
--    own: praefect_db_read_only{reason="setting"} could no longer say that the server turned read-only.
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

-- 2. Reading Praefect's tables and views, one by one: those that this version of Praefect has. Nothing in them is
--    secret, but names and paths of repositories are.
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
             -- its last value tells how many jobs there ever were
             'replication_queue_id_seq')
  LOOP
    EXECUTE format('GRANT SELECT ON %I.%I TO gitaly_exporter', praefect_schema, relation.name);
  END LOOP;

  -- 3. What a later migration of Praefect creates, or drops and creates anew with the loss of its grants (the
  --    view valid_primaries in 14.5): readable from the start. Without this, run the file again after each
  --    upgrade; until then the question that needs the table fails, and says which table it is.
  --    Only the owner's future tables in Praefect's schema, and only for reading.
  BEGIN
    EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I GRANT SELECT ON TABLES TO gitaly_exporter',
                   praefect_owner, praefect_schema);
    EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I GRANT SELECT ON SEQUENCES TO gitaly_exporter',
                   praefect_owner, praefect_schema);
  EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'only % can grant reading of its future tables: run this file as that role as well, or again after each upgrade',
                 praefect_owner;
  END;
END
$$;

-- 4. Seeing what other sessions do: states and times in pg_stat_activity are hidden from other roles. This is the
--    part of pg_monitor that is needed, and no more; it shows the texts of running queries, too. Without it,
--    absent are praefect_db_longest_transaction_seconds, praefect_db_connections by state (all count as unknown),
--    and before PostgreSQL 14 praefect_db_longest_blocked_seconds. To leave it out, delete this block.
DO $$
BEGIN
  GRANT pg_read_all_stats TO gitaly_exporter;
EXCEPTION WHEN insufficient_privilege THEN
  RAISE NOTICE 'pg_read_all_stats was not granted: only a superuser, or a role that has it WITH ADMIN OPTION, can';
END
$$;

COMMIT;
