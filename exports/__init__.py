"""Files that are built in the background: asked for, built, downloaded and let go. No kind of file is known here."""
