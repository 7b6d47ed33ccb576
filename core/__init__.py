"""The base of every app: ids, errors, names, secrets, row-level security. It knows none of our models."""
