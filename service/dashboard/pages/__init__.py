"""Finance pages, a module or folder for each group. Every one has a `router` made by `page_router()`; being here is
all it takes to be found (`service/dashboard/__init__.py`).
"""
