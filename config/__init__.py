"""The configuration of the console and its workers: settings, URLs, logging, health, metrics."""
