from django.apps import AppConfig


class GatewayConfig(AppConfig):
    name = "gateway"

    def ready(self) -> None:
        from catalog import serving
        from deployments import quota_counts
        from gateway import quota_sharing
        from gateway.serving import SERVING

        serving.register(SERVING)
        quota_counts.register(quota_sharing.quota_counts)
