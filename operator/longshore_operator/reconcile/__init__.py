"""Reconcile: one loop, one queue, and what carries plans out."""
