"""How the services do: what each process hears of them, what it means, what all know together.

heard.py       values: what was heard of a service, in ages, so that processes can be joined
hearing.py     hears the calls of one process
findings.py    pure: what one failure means, for a person
rules.py       pure: the status that follows from what was heard
snapshots.py   the SQL: what each process tells the others, and what has changed
monitor.py     tells the others every two seconds, and asks a service of which nothing is heard
"""
