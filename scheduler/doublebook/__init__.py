"""Finds what two or more users hold at once: devices, counters, capacity, GPUs of a device plugin.

    clashes    the rules, over the independent checker's view of allocations and pools (scheduler.core.verify)
    plugins    device plugins beside drivers, and what devices take of their node's own resources
    report     findings as table or JSON
    command    `dovetail doublebook`

The API server checks none of this: an allocation is written to one claim, and nothing compares it with the others.
Allocations for admin access hold nothing, as KEP-5018 says.
"""
