"""Feeds: the files beside the configuration that rules look into, and when they change.

    countries    a .mmdb file                            → in which country an address is
    categories   a directory of domain lists             → which categories a name is in
    workloads    a YAML or JSON file                     → whose an address is, with tags and attributes
    watch        looks at all of them from time to time  → another World when one has changed

Reads files; knows no network and no role. What is read is a zcc.policy.world.World, which never changes.
"""
