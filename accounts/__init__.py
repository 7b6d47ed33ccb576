"""People: signing in, sessions, second factors, staff roles, and the question whether they may."""
