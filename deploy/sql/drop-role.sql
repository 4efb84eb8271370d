-- Removes what role.sql granted, and the role. Run it in Praefect's database. If role.sql ran in other databases,
-- first run the DROP OWNED there. On a managed server DROP OWNED needs membership: GRANT gitaly_exporter TO CURRENT_USER.

BEGIN;
SET LOCAL search_path = pg_catalog;
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
