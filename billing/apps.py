from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "billing"

    def ready(self) -> None:
        from billing import closing, database_conflicts, exports, suspended
        from core import database_conflicts as conflicts
        from tenants import signals
        from tenants.actions.closing import verify_final_exports_with

        signals.tenant_suspended.connect(suspended.stop_exports)
        signals.impact_wanted.connect(suspended.count_stakes)
        signals.person_erased.connect(exports.expire_files_of_the_audit_log)
        verify_final_exports_with(closing.verify_final_export)
        conflicts.register(database_conflicts.SENTENCES)
