"""The lab's rows: real traffic driven along every path, each row with what was expected and what was seen.

`table` lists them in order; `traffic` are the clients; the other modules hold the rows by subject. Run by
the lab's runner.
"""
