"""Objects: what rules refer to by name, each defined once in the file.

    location         where traffic comes in: locations, sublocations, their groups
    address_group    source groups, destination groups
    service          network services and their groups; `predefined` lists the usual ones
    application_service  software services known by their names and networks, such as Office365
    workload_group   workloads by their tags; `tag_expression` is its language, `tag_containers` its JSON form
    segment          application segments, their groups, server groups
    gateway          gateways of ZIA and of DNS
    pool             pools of synthetic addresses
    namespace        whose addresses are whose

All are frozen. A name is unique among objects of its kind; what refers to what is checked by
zcc.policy.references. Pure.
"""
