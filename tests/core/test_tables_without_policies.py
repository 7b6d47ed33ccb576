"""Every table has policies of row-level security, or a reason to have none that stands here."""

from __future__ import annotations

from itertools import chain

import pytest
from django.db import connection

pytestmark = pytest.mark.django_db

NO_WALL = {
    "the platform's: catalog, prices, what runs where, and schema; the same for every tenant": [
        "billed_model", "sku", "price", "usage_kind", "usage_target", "quality_of_model",
        "catalog_catalogmodel", "catalog_catalogimport", "catalog_importentry", "catalog_evaluationscore",
        "catalog_modeldocument", "catalog_modelversion", "catalog_offer", "catalog_attestationcampaign",
        "deployments_cluster", "deployments_deployment", "deployments_route", "deployments_routeentry",
        "deployments_routefallback", "deployments_target", "deployments_targetaddress",
        "catalog_workingcalendar", "catalog_track", "catalog_questionset", "catalog_question",
        "catalog_ruleset", "catalog_rule",
        "catalog_reviewdelegation", "catalog_reviewteam", "catalog_plannedchange", "catalog_plannedchangeofmodel",
        "deployments_egresspolicy", "deployments_provider", "deployments_providercredential",
        "deployments_providermodel",
        "gateway_configclock", "gateway_gateway", "gateway_gatewaypolicy", "gateway_signingkey",
        "gateway_configrefusal", "gateway_provedrouting", "tenants_configrevision",
        "auth_permission", "django_content_type", "django_migrations",
    ],
    "people and how they sign in: asked before anybody's scope is known, and one person may be in many tenants": [
        "accounts_user", "accounts_user_user_permissions", "accounts_session", "django_session",
        "directory_federatedidentity", "directory_spentlogouttoken", "accounts_secondfactor", "accounts_recoverycode",
        "axes_accessattempt", "axes_accessattemptexpiration", "axes_accessfailurelog", "axes_accesslog",
    ],
    "staff roles, teams, and rights on single objects of the platform: nothing of a tenant": [
        "auth_group", "auth_group_permissions", "accounts_user_groups",
        "guardian_groupobjectpermission", "guardian_userobjectpermission",
    ],
    "the organization's directory and staff: above tenants": [
        "directory_directorygroup", "directory_directorygroup_members", "directory_directoryperson",
        "directory_groupmappingsdue", "directory_scimtoken", "accounts_staffroleassignment", "django_admin_log",
    ],
    "ids, moments and digests: nothing of a tenant can be read out of them": [
        "event_key", "tenants_configchange", "tenants_revisionentry",
        "audit_auditpending", "audit_auditcheckpoint", "audit_auditanchor",
        "audit_auditredaction", "audit_auditpruning",
    ],
    "the clock and what became of its tasks, which carry ids": [
        "django_celery_beat_clockedschedule", "django_celery_beat_crontabschedule",
        "django_celery_beat_intervalschedule", "django_celery_beat_periodictask",
        "django_celery_beat_periodictasks", "django_celery_beat_solarschedule",
        "django_celery_results_chordcounter", "django_celery_results_groupresult",
        "django_celery_results_taskresult",
    ],
}  # fmt: skip
# Foreign keys from a table without policies to one with them.
LEADS_BEHIND_THE_WALL = {
    # A service account: asked for as people are.
    ("accounts_user", "tenants_tenant"),
    # The one tenant that a rule is about; whoever asks meets all rules, and staff alone see them.
    ("catalog_rule", "tenants_tenant"),
    # The one tenant whose grants a campaign is about; its people meet campaigns through attestations alone.
    ("catalog_attestationcampaign", "tenants_tenant"),
    # The one tenant that an engine serves; staff alone see either.
    (
        "deployments_deployment",
        "tenants_tenant",
    ),
}


def rows(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def test_every_table_has_the_wall_or_a_reason():
    """A new table fails here: give it a `tenant_id`, name it in core/rls.py, or say why it needs neither."""
    without = rows(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') "
        "AND NOT relispartition AND NOT relrowsecurity"
    )
    assert {name for (name,) in without} == set(chain(*NO_WALL.values()))


def test_nothing_without_the_wall_points_behind_it():
    found = rows(
        """
        SELECT DISTINCT here.relname, there.relname
          FROM pg_constraint c
          JOIN pg_class here ON here.oid = c.conrelid
          JOIN pg_class there ON there.oid = c.confrelid
         WHERE c.contype = 'f' AND there.relrowsecurity AND NOT here.relrowsecurity AND NOT here.relispartition
        """
    )
    assert set(found) == LEADS_BEHIND_THE_WALL
