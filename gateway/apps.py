from django.apps import AppConfig


class GatewayConfig(AppConfig):
    name = "gateway"

    def ready(self) -> None:
        from catalog import serving
        from gateway.serving import SERVING

        serving.register(SERVING)
