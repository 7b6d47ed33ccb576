"""Export and erasure of personal data, and the pages and files of the audit log."""
