"""Measurements. `python -m benchmarks [NAME ...] [--quick]` runs all of them, or those named.

Machines differ, so every figure stands beside a baseline that was measured in the same run, and
what is judged is the ratio. The figures of one machine are in `RESULTS.md`.
"""
