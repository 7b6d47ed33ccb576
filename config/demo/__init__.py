"""The demo installation: its people, its data, and a tour of its main path."""
