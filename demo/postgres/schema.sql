-- The database of a Praefect of GitLab 19.0, as Praefect's own migrations leave it: 43 of them, the newest
-- 20260224025459_repo_write_locks (Gitaly's main branch of 30 May 2026), as `pg_dump --schema-only --no-owner
-- --no-privileges` writes it. Tables, views, triggers and functions are Gitaly's, unchanged
-- (https://gitlab.com/gitlab-org/gitaly, MIT licence, copyright GitLab B.V.). What follows the schema are the
-- two tables that Praefect fills by itself: the ids of its migrations, and the row of the first of them.

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

-- replication_job_state; Type: TYPE

CREATE TYPE public.replication_job_state AS ENUM (
    'ready',
    'in_progress',
    'completed',
    'cancelled',
    'failed',
    'dead'
);

-- notify_on_change(); Type: FUNCTION

CREATE FUNCTION public.notify_on_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
				DECLARE
					msg JSONB;
				BEGIN
				    	CASE TG_OP
					WHEN 'INSERT' THEN
						SELECT JSON_AGG(obj) INTO msg
						FROM (
							SELECT JSONB_BUILD_OBJECT('virtual_storage', virtual_storage, 'relative_paths', ARRAY_AGG(DISTINCT relative_path)) AS obj
							FROM NEW
							GROUP BY virtual_storage
						) t;
					WHEN 'UPDATE' THEN
						SELECT JSON_AGG(obj) INTO msg
						FROM (
							SELECT JSONB_BUILD_OBJECT('virtual_storage', virtual_storage, 'relative_paths', ARRAY_AGG(DISTINCT relative_path)) AS obj
							FROM NEW AS new_value
							FULL JOIN OLD AS old_value USING (virtual_storage, relative_path)
							WHERE ( COALESCE(new_value.generation, -1) != COALESCE(old_value.generation, -1) )
							OR ( new_value.relative_path != old_value.relative_path )
							GROUP BY virtual_storage
						) t;
					WHEN 'DELETE' THEN
						SELECT JSON_AGG(obj) INTO msg
						FROM (
							SELECT JSONB_BUILD_OBJECT('virtual_storage', virtual_storage, 'relative_paths', ARRAY_AGG(DISTINCT relative_path)) AS obj
							FROM OLD
							GROUP BY virtual_storage
						) t;
					END CASE;

				    	CASE WHEN JSONB_ARRAY_LENGTH(msg) > 0 THEN
						PERFORM PG_NOTIFY(TG_ARGV[TG_NARGS-1], msg::TEXT);
					ELSE END CASE;

					RETURN NULL;
				END;
				$$;

-- notify_on_write_lock_release(); Type: FUNCTION

CREATE FUNCTION public.notify_on_write_lock_release() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
				BEGIN
					PERFORM PG_NOTIFY('repository_reference_write_lock_releases', OLD.lock_id);
					RETURN NULL;
				END;
				$$;

SET default_tablespace = '';

SET default_table_access_method = heap;

-- node_status; Type: TABLE

CREATE TABLE public.node_status (
    id bigint NOT NULL,
    praefect_name character varying(511) NOT NULL,
    shard_name character varying(255) NOT NULL,
    node_name character varying(255) NOT NULL,
    last_contact_attempt_at timestamp with time zone,
    last_seen_active_at timestamp with time zone
);

-- healthy_storages; Type: VIEW

CREATE VIEW public.healthy_storages AS
 SELECT ns.shard_name AS virtual_storage,
    ns.node_name AS storage
   FROM public.node_status ns
  WHERE (ns.last_seen_active_at >= (now() - '00:00:10'::interval))
  GROUP BY ns.shard_name, ns.node_name
 HAVING ((count(ns.praefect_name))::numeric >= ( SELECT ceil(((count(DISTINCT node_status.praefect_name))::numeric / 2.0)) AS quorum_count
           FROM public.node_status
          WHERE (((node_status.shard_name)::text = (ns.shard_name)::text) AND (node_status.last_contact_attempt_at >= (now() - '00:01:00'::interval)))))
  ORDER BY ns.shard_name, ns.node_name;

-- hello_world; Type: TABLE

CREATE TABLE public.hello_world (
    id integer
);

-- node_status_id_seq; Type: SEQUENCE

CREATE SEQUENCE public.node_status_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

-- node_status_id_seq; Type: SEQUENCE OWNED BY

ALTER SEQUENCE public.node_status_id_seq OWNED BY public.node_status.id;

-- replication_queue; Type: TABLE

CREATE TABLE public.replication_queue (
    id bigint NOT NULL,
    state public.replication_job_state DEFAULT 'ready'::public.replication_job_state NOT NULL,
    created_at timestamp without time zone DEFAULT (now() AT TIME ZONE 'UTC'::text) NOT NULL,
    updated_at timestamp without time zone,
    attempt integer DEFAULT 3 NOT NULL,
    lock_id text,
    job jsonb,
    meta jsonb
);

-- replication_queue_id_seq; Type: SEQUENCE

CREATE SEQUENCE public.replication_queue_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

-- replication_queue_id_seq; Type: SEQUENCE OWNED BY

ALTER SEQUENCE public.replication_queue_id_seq OWNED BY public.replication_queue.id;

-- replication_queue_job_lock; Type: TABLE

CREATE TABLE public.replication_queue_job_lock (
    job_id bigint NOT NULL,
    lock_id text NOT NULL,
    triggered_at timestamp without time zone DEFAULT (now() AT TIME ZONE 'UTC'::text) NOT NULL
);

-- replication_queue_lock; Type: TABLE

CREATE TABLE public.replication_queue_lock (
    id text NOT NULL,
    acquired boolean DEFAULT false NOT NULL
);

-- repositories; Type: TABLE

CREATE TABLE public.repositories (
    virtual_storage text NOT NULL,
    relative_path text NOT NULL,
    generation bigint,
    "primary" text,
    repository_id bigint NOT NULL,
    replica_path text
);

-- repositories_repository_id_seq; Type: SEQUENCE

CREATE SEQUENCE public.repositories_repository_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

-- repositories_repository_id_seq; Type: SEQUENCE OWNED BY

ALTER SEQUENCE public.repositories_repository_id_seq OWNED BY public.repositories.repository_id;

-- repository_assignments; Type: TABLE

CREATE TABLE public.repository_assignments (
    virtual_storage text NOT NULL,
    relative_path text NOT NULL,
    storage text NOT NULL,
    repository_id bigint NOT NULL
);

-- storage_repositories; Type: TABLE

CREATE TABLE public.storage_repositories (
    virtual_storage text NOT NULL,
    relative_path text NOT NULL,
    storage text NOT NULL,
    generation bigint NOT NULL,
    repository_id bigint NOT NULL,
    verified_at timestamp with time zone,
    verification_leased_until timestamp with time zone
);

-- repository_generations; Type: VIEW

CREATE VIEW public.repository_generations AS
 SELECT storage_repositories.virtual_storage,
    storage_repositories.relative_path,
    max(storage_repositories.generation) AS generation
   FROM public.storage_repositories
  GROUP BY storage_repositories.virtual_storage, storage_repositories.relative_path;

-- repository_reference_write_locks; Type: TABLE

CREATE TABLE public.repository_reference_write_locks (
    lock_id text NOT NULL,
    holder_txn_id bigint NOT NULL,
    expired_at timestamp with time zone NOT NULL
);

-- schema_migrations; Type: TABLE

CREATE TABLE public.schema_migrations (
    id text NOT NULL,
    applied_at timestamp with time zone
);

-- shard_primaries; Type: TABLE

CREATE TABLE public.shard_primaries (
    id bigint NOT NULL,
    shard_name character varying(255) NOT NULL,
    node_name character varying(255) NOT NULL,
    elected_by_praefect character varying(255) NOT NULL,
    elected_at timestamp with time zone NOT NULL,
    read_only boolean DEFAULT false NOT NULL,
    demoted boolean DEFAULT false NOT NULL,
    previous_writable_primary text
);

-- shard_primaries_id_seq; Type: SEQUENCE

CREATE SEQUENCE public.shard_primaries_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

-- shard_primaries_id_seq; Type: SEQUENCE OWNED BY

ALTER SEQUENCE public.shard_primaries_id_seq OWNED BY public.shard_primaries.id;

-- storage_cleanups; Type: TABLE

CREATE TABLE public.storage_cleanups (
    virtual_storage text NOT NULL,
    storage text NOT NULL,
    last_run timestamp without time zone,
    triggered_at timestamp without time zone
);

-- valid_primaries; Type: VIEW

CREATE VIEW public.valid_primaries AS
 SELECT candidates.repository_id,
    candidates.virtual_storage,
    candidates.relative_path,
    candidates.storage
   FROM ( SELECT repositories.repository_id,
            repositories.virtual_storage,
            repositories.relative_path,
            storage_repositories.storage,
            ((repository_assignments.storage IS NOT NULL) OR bool_and((repository_assignments.storage IS NULL)) OVER (PARTITION BY repositories.repository_id)) AS eligible
           FROM (((public.repositories
             JOIN ( SELECT storage_repositories_1.repository_id,
                    storage_repositories_1.storage,
                    storage_repositories_1.generation
                   FROM public.storage_repositories storage_repositories_1) storage_repositories USING (repository_id, generation))
             JOIN public.healthy_storages USING (virtual_storage, storage))
             LEFT JOIN public.repository_assignments USING (repository_id, storage))
          WHERE (NOT (EXISTS ( SELECT
                   FROM public.replication_queue
                  WHERE ((replication_queue.state <> ALL (ARRAY['completed'::public.replication_job_state, 'dead'::public.replication_job_state, 'cancelled'::public.replication_job_state])) AND ((replication_queue.job ->> 'change'::text) = 'delete_replica'::text) AND (((replication_queue.job ->> 'repository_id'::text))::bigint = repositories.repository_id) AND ((replication_queue.job ->> 'target_node_storage'::text) = storage_repositories.storage)))))) candidates
  WHERE candidates.eligible;

-- virtual_storages; Type: TABLE

CREATE TABLE public.virtual_storages (
    virtual_storage text NOT NULL,
    repositories_imported boolean DEFAULT false NOT NULL
);

-- node_status id; Type: DEFAULT

ALTER TABLE ONLY public.node_status ALTER COLUMN id SET DEFAULT nextval('public.node_status_id_seq'::regclass);

-- replication_queue id; Type: DEFAULT

ALTER TABLE ONLY public.replication_queue ALTER COLUMN id SET DEFAULT nextval('public.replication_queue_id_seq'::regclass);

-- repositories repository_id; Type: DEFAULT

ALTER TABLE ONLY public.repositories ALTER COLUMN repository_id SET DEFAULT nextval('public.repositories_repository_id_seq'::regclass);

-- shard_primaries id; Type: DEFAULT

ALTER TABLE ONLY public.shard_primaries ALTER COLUMN id SET DEFAULT nextval('public.shard_primaries_id_seq'::regclass);

-- node_status node_status_pkey; Type: CONSTRAINT

ALTER TABLE ONLY public.node_status
    ADD CONSTRAINT node_status_pkey PRIMARY KEY (id);

-- replication_queue_job_lock replication_queue_job_lock_pk; Type: CONSTRAINT

ALTER TABLE ONLY public.replication_queue_job_lock
    ADD CONSTRAINT replication_queue_job_lock_pk PRIMARY KEY (job_id, lock_id);

-- replication_queue_lock replication_queue_lock_pkey; Type: CONSTRAINT

ALTER TABLE ONLY public.replication_queue_lock
    ADD CONSTRAINT replication_queue_lock_pkey PRIMARY KEY (id);

-- replication_queue replication_queue_pkey; Type: CONSTRAINT

ALTER TABLE ONLY public.replication_queue
    ADD CONSTRAINT replication_queue_pkey PRIMARY KEY (id);

-- repositories repositories_pkey; Type: CONSTRAINT

ALTER TABLE ONLY public.repositories
    ADD CONSTRAINT repositories_pkey PRIMARY KEY (repository_id);

-- repository_assignments repository_assignments_pkey; Type: CONSTRAINT

ALTER TABLE ONLY public.repository_assignments
    ADD CONSTRAINT repository_assignments_pkey PRIMARY KEY (virtual_storage, relative_path, storage);

-- repository_reference_write_locks repository_reference_write_locks_pkey; Type: CONSTRAINT

ALTER TABLE ONLY public.repository_reference_write_locks
    ADD CONSTRAINT repository_reference_write_locks_pkey PRIMARY KEY (lock_id);

-- schema_migrations schema_migrations_pkey; Type: CONSTRAINT

ALTER TABLE ONLY public.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (id);

-- shard_primaries shard_primaries_pkey; Type: CONSTRAINT

ALTER TABLE ONLY public.shard_primaries
    ADD CONSTRAINT shard_primaries_pkey PRIMARY KEY (id);

-- storage_cleanups storage_cleanups_pkey; Type: CONSTRAINT

ALTER TABLE ONLY public.storage_cleanups
    ADD CONSTRAINT storage_cleanups_pkey PRIMARY KEY (virtual_storage, storage);

-- storage_repositories storage_repositories_pkey; Type: CONSTRAINT

ALTER TABLE ONLY public.storage_repositories
    ADD CONSTRAINT storage_repositories_pkey PRIMARY KEY (virtual_storage, relative_path, storage);

-- virtual_storages virtual_storages_pkey; Type: CONSTRAINT

ALTER TABLE ONLY public.virtual_storages
    ADD CONSTRAINT virtual_storages_pkey PRIMARY KEY (virtual_storage);

-- delete_replica_unique_index; Type: INDEX

CREATE UNIQUE INDEX delete_replica_unique_index ON public.replication_queue USING btree (((job ->> 'virtual_storage'::text)), ((job ->> 'relative_path'::text))) WHERE ((state <> ALL (ARRAY['completed'::public.replication_job_state, 'cancelled'::public.replication_job_state, 'dead'::public.replication_job_state])) AND ((job ->> 'change'::text) = 'delete_replica'::text));

-- replication_queue_target_index; Type: INDEX

CREATE INDEX replication_queue_target_index ON public.replication_queue USING btree (((job ->> 'virtual_storage'::text)), ((job ->> 'relative_path'::text)), ((job ->> 'target_node_storage'::text)), ((job ->> 'change'::text))) WHERE (state <> ALL (ARRAY['completed'::public.replication_job_state, 'cancelled'::public.replication_job_state, 'dead'::public.replication_job_state]));

-- repository_assignments_new_pkey; Type: INDEX

CREATE UNIQUE INDEX repository_assignments_new_pkey ON public.repository_assignments USING btree (repository_id, storage);

-- repository_lookup_index; Type: INDEX

CREATE UNIQUE INDEX repository_lookup_index ON public.repositories USING btree (virtual_storage, relative_path);

-- repository_reference_write_locks_expired_at_idx; Type: INDEX

CREATE INDEX repository_reference_write_locks_expired_at_idx ON public.repository_reference_write_locks USING btree (expired_at);

-- repository_replica_path_index; Type: INDEX

CREATE INDEX repository_replica_path_index ON public.repositories USING btree (replica_path, virtual_storage);

-- shard_name_on_node_status_idx; Type: INDEX

CREATE INDEX shard_name_on_node_status_idx ON public.node_status USING btree (shard_name, node_name);

-- shard_name_on_shard_primaries_idx; Type: INDEX

CREATE UNIQUE INDEX shard_name_on_shard_primaries_idx ON public.shard_primaries USING btree (shard_name);

-- shard_node_names_on_node_status_idx; Type: INDEX

CREATE UNIQUE INDEX shard_node_names_on_node_status_idx ON public.node_status USING btree (praefect_name, shard_name, node_name);

-- storage_repositories_new_pkey; Type: INDEX

CREATE UNIQUE INDEX storage_repositories_new_pkey ON public.storage_repositories USING btree (repository_id, storage);

-- verification_leases; Type: INDEX

CREATE INDEX verification_leases ON public.storage_repositories USING btree (verification_leased_until) WHERE (verification_leased_until IS NOT NULL);

-- verification_queue; Type: INDEX

CREATE INDEX verification_queue ON public.storage_repositories USING btree (verified_at NULLS FIRST) WHERE (verification_leased_until IS NULL);

-- virtual_target_on_replication_queue_idx; Type: INDEX

CREATE INDEX virtual_target_on_replication_queue_idx ON public.replication_queue USING btree (((job ->> 'virtual_storage'::text)), ((job ->> 'target_node_storage'::text)));

-- repositories notify_on_delete; Type: TRIGGER

CREATE TRIGGER notify_on_delete AFTER DELETE ON public.repositories REFERENCING OLD TABLE AS old FOR EACH STATEMENT EXECUTE FUNCTION public.notify_on_change('repositories_updates');

-- storage_repositories notify_on_delete; Type: TRIGGER

CREATE TRIGGER notify_on_delete AFTER DELETE ON public.storage_repositories REFERENCING OLD TABLE AS old FOR EACH STATEMENT EXECUTE FUNCTION public.notify_on_change('storage_repositories_updates');

-- storage_repositories notify_on_insert; Type: TRIGGER

CREATE TRIGGER notify_on_insert AFTER INSERT ON public.storage_repositories REFERENCING NEW TABLE AS new FOR EACH STATEMENT EXECUTE FUNCTION public.notify_on_change('storage_repositories_updates');

-- storage_repositories notify_on_update; Type: TRIGGER

CREATE TRIGGER notify_on_update AFTER UPDATE ON public.storage_repositories REFERENCING OLD TABLE AS old NEW TABLE AS new FOR EACH STATEMENT EXECUTE FUNCTION public.notify_on_change('storage_repositories_updates');

-- repository_reference_write_locks notify_on_write_lock_delete; Type: TRIGGER

CREATE TRIGGER notify_on_write_lock_delete AFTER DELETE ON public.repository_reference_write_locks FOR EACH ROW EXECUTE FUNCTION public.notify_on_write_lock_release();

-- replication_queue_job_lock replication_queue_job_lock_job_id_fkey; Type: FK CONSTRAINT

ALTER TABLE ONLY public.replication_queue_job_lock
    ADD CONSTRAINT replication_queue_job_lock_job_id_fkey FOREIGN KEY (job_id) REFERENCES public.replication_queue(id);

-- replication_queue_job_lock replication_queue_job_lock_lock_id_fkey; Type: FK CONSTRAINT

ALTER TABLE ONLY public.replication_queue_job_lock
    ADD CONSTRAINT replication_queue_job_lock_lock_id_fkey FOREIGN KEY (lock_id) REFERENCES public.replication_queue_lock(id);

-- repository_assignments repository_assignments_repository_id_fkey; Type: FK CONSTRAINT

ALTER TABLE ONLY public.repository_assignments
    ADD CONSTRAINT repository_assignments_repository_id_fkey FOREIGN KEY (repository_id) REFERENCES public.repositories(repository_id) ON DELETE CASCADE;

-- repository_assignments repository_assignments_virtual_storage_relative_path_fkey; Type: FK CONSTRAINT

ALTER TABLE ONLY public.repository_assignments
    ADD CONSTRAINT repository_assignments_virtual_storage_relative_path_fkey FOREIGN KEY (virtual_storage, relative_path) REFERENCES public.repositories(virtual_storage, relative_path) ON UPDATE CASCADE ON DELETE CASCADE;

-- storage_repositories storage_repositories_repository_id_fkey; Type: FK CONSTRAINT

ALTER TABLE ONLY public.storage_repositories
    ADD CONSTRAINT storage_repositories_repository_id_fkey FOREIGN KEY (repository_id) REFERENCES public.repositories(repository_id) ON DELETE CASCADE;

INSERT INTO public.schema_migrations (id, applied_at) SELECT id, now() FROM (VALUES
    ('20200109161404_hello_world'),
    ('20200113151438_1_test_migration'),
    ('20200224220728_job_queue'),
    ('20200225220728_readd_job_queue'),
    ('20200324001604_add_sql_election_tables'),
    ('20200422131451_add_shard_read_only_column'),
    ('20200512131219_replication_job_indexing'),
    ('20200527103816_drop_old_gitaly_tables'),
    ('20200602154246_remember_previous_writable_primary'),
    ('20200707101830_repositories_table'),
    ('20200810055650_replication_queue_cleanup'),
    ('20200921154417_repositories_nullable_generation'),
    ('20200921170311_repositories_primary_column'),
    ('20201006125956_trigger_repository_update_generation'),
    ('20201102115118_variable_replication_factor'),
    ('20201102171914_virtual_storage_configuration'),
    ('20201126165633_repository_assignments_table'),
    ('20201208163237_cleanup_notifiactions_payload'),
    ('20201231075619_remove_unused_assigned_column'),
    ('20210223130233_delete_replica_unique_index'),
    ('20210225101159_replication_queue_target_index'),
    ('20210525143540_healthy_storages_view'),
    ('20210525173505_valid_primaries_view'),
    ('20210607124235_optimize_valid_primaries_view'),
    ('20210727085659_repository_ids'),
    ('20210906130405_add_replica_path'),
    ('20210906145021_link_repository_id'),
    ('20210914115710_storage_cleanups_table'),
    ('20210921131816_backfill_replica_path'),
    ('20210922091614_repository_id_primary_key_indexes'),
    ('20210922143752_storage_repositories_cascade_delete'),
    ('20210923155827_valid_primaries_view_repository_id'),
    ('20210927083631_repository_path_index'),
    ('20211018142158_valid_primaries_view_join_repo_id'),
    ('20211025113445_remove_cancelled_replication_events'),
    ('20211105100456_check_non_null_repository_id'),
    ('20211105100458_non_nullable_repository_id'),
    ('20220215160117_replication_queue_cleanup_again'),
    ('20220303105110_background_verification_columns'),
    ('20220404131105_stale_verification_lease_index'),
    ('20220407111624_ignore_verification_in_triggers'),
    ('20220520083313_remove_maintenance_replication_events'),
    ('20260224025459_repo_write_locks')
) AS migration (id);

INSERT INTO public.hello_world (id) VALUES (1);
