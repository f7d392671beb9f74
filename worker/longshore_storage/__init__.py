"""Access to all data through one interface over fsspec.

It uses only operations that object stores support: write or create whole objects, read ranges, list by prefix, delete.
It never renames or appends. It does not depend on jobs or leases.
"""
