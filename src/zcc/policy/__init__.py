"""Policy: which of the methods ZIA, ZPA, DIRECT, DROP, LOCAL a flow takes, and why.

    criteria   values of one criterion: address ranges, services          frozen, parsed once
    model      Application, Rule, Policy                                   frozen
    names      which pattern or application a name belongs to; ids of names
    decide     the slow, obvious decision: the reference of everything below
    compile    Policy → bitmaps and prefix lists, for fastpath.classify
    explain    a decision in words

Pure: no I/O, no clock, and nothing of fastpath.
"""
