"""Reads manifests and says what Dynamic Resource Allocation changes for them.

The audit writes nothing; only `migrating.command` does.

    tree            YAML and JSON with the place of every key and value, bounded in size, depth and aliases
    sources         files, folders, standard input
    rendering       what helm and kustomize make of charts and kustomizations
    devices         the resource names of device plugins, and whose devices they are
    labels          node labels that tell something of devices, and the CEL that says the same
    shapes          the fields of resource.k8s.io/v1
    subjects        one object of a document: its pods, resources, node requirements, claims
    sanity          amounts and types that make an object unusable
    catalogue       every finding: id, severity, benefit, sentence, advice; the one place to add one
    rules           what finds them, a module per family
    inspection      sources in, a report out
    report          the report as table, JSON, SARIF 2.1.0 or markdown
    command         `dovetail audit`
    migrating       `dovetail migrate`, which stands on all of these

What cannot be read is a problem with file and line, never silence: a text that is still a template is UNPARSED.
"""
