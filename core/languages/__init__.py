"""The console's languages: catalogs of sentences, one per app, and how they are gathered and built.

English is the language of the source. A catalog `<app>/locale/<language>/LC_MESSAGES/django.po` has the sentences of
one app and of its templates; `locale/` has those of several apps, of the console itself, and of libraries that bring
no translation. `python -m core.languages` gathers and builds them with Babel; GNU gettext is not needed.
"""
