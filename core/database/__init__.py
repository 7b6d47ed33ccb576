"""Django's PostgreSQL backend, whose connections say whose rows they may touch (settings: ENGINE)."""
