"""`zcc gwlb`: an AWS Gateway Load Balancer for labs, CI and soak tests, with nothing but network interfaces
around it.

endpoint interface ─▶ forwarding (thread) ─▶ flows: which target, which cookie ─▶ Geneve ─▶ connector
                      daemon (asyncio): health checks ─▶ targets ─▶ the thread;  status and metrics over HTTP
"""
