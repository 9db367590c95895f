"""The licensee's portal, a module or folder for each group of pages. Every one has a `router` made by
`page_router("/portal")`; being here is all it takes to be found (`service/dashboard/__init__.py`).
"""
