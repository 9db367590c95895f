"""Ways to hang a meter into what a platform already runs, each a few lines by protocol.

functions   a context manager and a decorator for anything that generates
pipelines   a wrapper for diffusers-style pipelines
asgi        middleware for Starlette, FastAPI and any other ASGI application
flux        the drop-in `track_usage_via_api` of the FLUX reference code
comfyui     a folder to drop into ComfyUI's custom_nodes

None of them imports what it hooks into. A meter is anything with the `record` of `perimage.Meter`. Two rules hold in
all of them: what raised counts nothing, and a result that cannot be counted is said in the log, never raised.
"""
