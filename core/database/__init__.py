"""Django's PostgreSQL backend with connections that state whose rows they may touch (settings: ENGINE)."""
