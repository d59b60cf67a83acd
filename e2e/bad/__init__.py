"""Bad input, by the thousand: `python -m e2e.bad` puts every case to whatever reads it from outside.

A surface is one file with its cases; SURFACES in catalogue.py lists them. Texts are generated and always the same.
"""
