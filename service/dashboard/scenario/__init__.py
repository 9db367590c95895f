"""The what-if as pages, for both sides: what is asked, which offers are held against each other, what comes out."""
