"""People: sign-in, sessions, second factors, staff roles, and permissions."""
