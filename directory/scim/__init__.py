"""SCIM 2.0 (RFC 7643, RFC 7644): how an organization's directory provisions people and groups.

    authentication.py  which directory is asking
    payloads.py        Users and Groups as this service knows them, and what it announces of itself
    mapping.py         rows to payloads, payloads to facts, versions
    filters.py         a directory's filter and order as a question to the database
    members.py         what a payload or PATCH says of a group's members
    base.py            one endpoint: token, JSON, preconditions, errors
    resources.py  discovery.py  urls.py    the endpoints

The actions are in directory/actions/people.py and directory_groups.py. docs/scim.md is for whoever
connects a directory.
"""
