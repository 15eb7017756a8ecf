"""Rates of served language models beside peers: each candidate answers in a process of its own, by turns."""
