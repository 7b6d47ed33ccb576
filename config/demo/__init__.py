"""The demo installation: who is in it, what it is loaded with, and a tour that walks its main path."""
