"""The room in which an invoice gets onto paper: its snapshot in, documents out, with nothing else looked at."""
