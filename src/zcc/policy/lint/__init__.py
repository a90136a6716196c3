"""Lints: what is allowed in a policy and is hardly what was meant.

    finding   one lint with its place and severity
    shadow    rules that never decide because of those above them, or of themselves
    objects   groups that are empty, segments that overlap, pools on top of workloads
    above     which rules above leave nothing for one; rows: the columns of numbers by which
    world     what the files say: categories and countries that are not there, groups without a workload
    dns_rules the same of DNS rules, and gateways that lead back
    loops     ZPA rules that catch the app connectors' own flows
    all       every lint

Run by `zcc check` once a file is right in itself. Pure.
"""
