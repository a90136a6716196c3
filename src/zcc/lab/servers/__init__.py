"""The servers that the lab's traffic goes to: a web application, echoes, a late answerer, a name server.

Each is a small program of its own, run in a host as `python -m zcc.lab.servers NAME …`. They know nothing of
the product.
"""
