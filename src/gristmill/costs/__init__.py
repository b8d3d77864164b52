"""Money: prices, the journal of every billable call, and what it adds up to.

Amounts are whole nano-dollars (10^-9 USD) everywhere; there is no float.
"""
