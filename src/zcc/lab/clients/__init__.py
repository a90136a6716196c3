"""Clients for what curl and dig cannot do; run in a host as `python -m zcc.lab.clients NAME …`. They know
nothing of the product.
"""
