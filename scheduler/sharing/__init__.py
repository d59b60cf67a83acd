"""`dovetail plan share`: many small models on as few GPUs as possible, and the claims that put them there.

    wishes      models.yaml                          supply      GPUs of a fleet, and what of each is left
    geometry    how a GPU can be cut                 problem     both as numbers: groups, kinds, bins and cuts
    solving     asks, in turn,
      exact       the optimum of small problems, over all patterns
      relaxation  a bound that is proven, and prices
      packing     good packings of any size: floor, filling, columns, improving
      evening     ties
    plan        what is on each GPU, what is left, what does not fit and why
    limits      what each way of sharing isolates, and who enforces it
    manifests   the claims, pinned to the GPUs of the plan
    report      table, JSON and YAML                 command     files in, text and files out

What counts, in this order: the fewest replicas without a place; the fewest GPUs put to use (those that existing claims
use already cost nothing more); the most headroom where it is least; the least waste of parts. The first two are proven
against a bound that is printed. The last two are a local optimum.

A GPU is used in one way at a time, and each way has its isolation:

    whole    one replica alone: isolation none, memory or full
    cut      parts of a GPU (MIG), one replica each: isolation none or memory
    share    shares of a device that several claims may have (consumable capacity): isolation none
    claim    one claim for a whole GPU, which pods of one namespace share: isolation none

Everything but `command` is a function of its arguments.
"""
