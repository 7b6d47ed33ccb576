"""A version that is deployed stays what it is, and its deployments serve tenants that it is for."""

from django.db import migrations

# `ModelVersion.RUNS`. Deployments that are gone count: their costs and answers are explained by the version.
DEPLOYED_VERSIONS = """
CREATE FUNCTION deployments_version_stands() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF (NEW.upstream_name, NEW.digest, NEW.precision, NEW.format, NEW.image, NEW.command, NEW.endpoints,
        NEW.gpus_per_replica, NEW.memory)
       IS DISTINCT FROM
       (OLD.upstream_name, OLD.digest, OLD.precision, OLD.format, OLD.image, OLD.command, OLD.endpoints,
        OLD.gpus_per_replica, OLD.memory)
       AND EXISTS (SELECT FROM deployments_deployment d WHERE d.version_id = NEW.id)
    THEN
        RAISE EXCEPTION 'a version that has been deployed runs unchanged'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'model_version_runs_unchanged';
    END IF;
    IF NEW.visibility = 'tenants' AND EXISTS (
        SELECT FROM deployments_deployment d LEFT JOIN tenants_tenant t ON t.id = d.only_tenant_id
         WHERE d.version_id = NEW.id AND NOT d.is_deleted
           AND (t.slug IS NULL OR NOT t.slug = ANY (NEW.only_for)))
    THEN
        RAISE EXCEPTION 'deployments of a version serve tenants that it is for'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'deployment_serves_whom_its_version_is_for';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER deployed_version_stands BEFORE UPDATE ON catalog_modelversion
    FOR EACH ROW EXECUTE FUNCTION deployments_version_stands();

CREATE FUNCTION deployments_deployment_suits_version() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    version catalog_modelversion;
BEGIN
    SELECT * INTO version FROM catalog_modelversion v WHERE v.id = NEW.version_id FOR SHARE;
    IF TG_OP = 'INSERT' AND version.retired_at IS NOT NULL THEN
        RAISE EXCEPTION 'a retired version is not deployed'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'deployment_of_current_version';
    END IF;
    IF NOT NEW.is_deleted AND version.visibility = 'tenants' AND NOT EXISTS (
        SELECT FROM tenants_tenant t WHERE t.id = NEW.only_tenant_id AND t.slug = ANY (version.only_for))
    THEN
        RAISE EXCEPTION 'deployments of a version serve tenants that it is for'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'deployment_serves_whom_its_version_is_for';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER deployment_suits_version
    BEFORE INSERT OR UPDATE OF version_id, only_tenant_id, is_deleted ON deployments_deployment
    FOR EACH ROW EXECUTE FUNCTION deployments_deployment_suits_version();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("deployments", "0001_initial"),
        ("catalog", "0030_versions_are_edited"),
        ("tenants", "0001_initial"),
    ]

    operations = [migrations.RunSQL(DEPLOYED_VERSIONS)]
