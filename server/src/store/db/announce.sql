-- Whoever changes the configuration tells the other nodes, in the transaction that changes it. The
-- first argument of a trigger names the column of the tenant, the second that of an id.
CREATE OR REPLACE FUNCTION antar_announce() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed RECORD;
    tenant TEXT := '';
    id TEXT := '';
BEGIN
    IF TG_OP = 'DELETE' THEN changed := OLD; ELSE changed := NEW; END IF;
    IF TG_NARGS > 0 THEN EXECUTE format('SELECT ($1).%I::text', TG_ARGV[0]) INTO tenant USING changed; END IF;
    IF TG_NARGS > 1 THEN EXECUTE format('SELECT ($1).%I::text', TG_ARGV[1]) INTO id USING changed; END IF;
    PERFORM pg_notify('antar_news', coalesce(current_setting('antar.node', true), '') || ' ' || TG_TABLE_NAME || ' ' || tenant || ' ' || id);
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER antar_announce AFTER INSERT OR UPDATE OR DELETE ON tenants
    FOR EACH ROW EXECUTE FUNCTION antar_announce('id');
CREATE OR REPLACE TRIGGER antar_announce AFTER INSERT OR UPDATE OR DELETE ON profiles
    FOR EACH ROW EXECUTE FUNCTION antar_announce();
CREATE OR REPLACE TRIGGER antar_announce AFTER INSERT OR UPDATE OR DELETE ON event_types
    FOR EACH ROW EXECUTE FUNCTION antar_announce('tenant');
CREATE OR REPLACE TRIGGER antar_announce
    AFTER INSERT OR DELETE OR UPDATE OF name, spec, secret, secret_before, enabled, paused, revision ON webhooks
    FOR EACH ROW EXECUTE FUNCTION antar_announce('tenant', 'id');
CREATE OR REPLACE TRIGGER antar_announce AFTER INSERT OR UPDATE OR DELETE ON sources
    FOR EACH ROW EXECUTE FUNCTION antar_announce('tenant');
CREATE OR REPLACE TRIGGER antar_announce AFTER INSERT OR UPDATE OR DELETE ON secrets
    FOR EACH ROW EXECUTE FUNCTION antar_announce('tenant');
CREATE OR REPLACE TRIGGER antar_announce AFTER INSERT OR UPDATE OR DELETE ON plugins
    FOR EACH ROW EXECUTE FUNCTION antar_announce('tenant');
CREATE OR REPLACE TRIGGER antar_announce AFTER INSERT OR UPDATE OR DELETE ON api_keys
    FOR EACH ROW EXECUTE FUNCTION antar_announce();
