"""The lab: every role of the product on one machine, in network namespaces, with real clients and servers.

`command` is the way in; `namespaces` and `host` make the machines, `topology` and `network` wire them,
`deployment` starts the daemons, `scenarios` drives traffic and judges it. `emulator` is the AWS Gateway Load
Balancer, a product of its own. The lab may import every other part; nothing imports the lab but the command
line.
"""
