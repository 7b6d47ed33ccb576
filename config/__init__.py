"""How the process is configured. Importing this package imports no Django: the launcher lives here too."""
