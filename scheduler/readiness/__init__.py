"""Says how far a cluster is on its way to Dynamic Resource Allocation, and what to do next; it changes nothing.

    snapshot        objects from files, each with its place
    record          what a cluster says of itself, as one document: read live, written, read again
    gates           feature gates, and from what each is known
    published       what drivers publish
    drivers.yaml    what releases of drivers publish, with dates and sources
    releases        that table, and which release runs
    facts           what follows from a record
    blueprint       what each family of examples needs
    changes         what can change while pods run
    assessment      all of it, with steps in order
    report          the assessment as table, JSON or markdown
    command         `dovetail readiness`

What could not be read is told, and never taken for something that is not there.
"""
