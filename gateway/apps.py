from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class GatewayConfig(AppConfig):
    name = "gateway"
    verbose_name = _("Gateway")

    def ready(self) -> None:
        from catalog import serving
        from deployments import quota_counts
        from gateway import quota_sharing
        from gateway.serving import SERVING

        serving.register(SERVING)
        quota_counts.register(quota_sharing.quota_counts)
