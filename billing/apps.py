from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "billing"

    def ready(self) -> None:
        from billing import suspended
        from tenants import signals

        signals.tenant_suspended.connect(suspended.stop_exports)
        signals.stakes_wanted.connect(suspended.count_stakes)
