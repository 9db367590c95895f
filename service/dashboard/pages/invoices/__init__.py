"""Invoices and credit notes: the list, one with all there is to it, its files, and what people do with it."""

from service.dashboard.pages.invoices import acts, everything, one, papers, taking_back
from service.dashboard.pages.invoices.router import router

__all__ = ["acts", "everything", "one", "papers", "router", "taking_back"]
