"""What is held about a person, handed out and erased; pages and files of the audit log."""
