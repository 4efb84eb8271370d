-- Takes away what role.sql gave, and the role. Run it in Praefect's database; in others where role.sql ran, first
-- the DROP OWNED there. On a managed server DROP OWNED needs membership: GRANT gitaly_exporter TO CURRENT_USER.

BEGIN;
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'gitaly_exporter') THEN
    -- The role owns nothing; this revokes its grants and default privileges in this database.
    DROP OWNED BY gitaly_exporter;
    DROP ROLE gitaly_exporter;
  END IF;
END
$$;
COMMIT;
