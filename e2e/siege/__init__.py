"""A real control plane under siege: pods come and go, leaders are killed, the API server restarts, an auditor watches.

auditor.py judges from watches alone; churn.py makes and deletes pods; __main__.py starts, kills and counts.
"""
