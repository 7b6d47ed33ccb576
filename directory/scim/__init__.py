"""SCIM 2.0 (RFC 7643, RFC 7644): how an organization's directory provisions people and groups.

    authentication.py  which directory sends a request
    payloads.py        Users and Groups in this service, and what it declares about itself
    mapping.py         rows to payloads, payloads to facts, versions
    filters.py         a directory's filter and sort order as a database query
    members.py         the changes of a group's members in a payload or PATCH
    base.py            one endpoint: token, JSON, preconditions, errors
    resources.py  discovery.py  urls.py    the endpoints

The actions are in directory/actions/people.py and groups.py. docs/scim.md explains how to connect a directory.
"""
