"""How the console and its workers are configured: settings, addresses, logging, health, metrics."""
