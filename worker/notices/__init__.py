"""Notices over the network: finding them by the clock, and delivering them by webhook and e-mail."""
