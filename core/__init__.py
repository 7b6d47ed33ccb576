"""What every app stands on: ids, errors, names, secrets, row-level security. Knows no model of ours."""
