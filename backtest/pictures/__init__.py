"""A report as one page with pictures: SVG that needs no script, no font and no address.

The same input gives the same bytes in any process. matplotlib is imported here only, so that it is
loaded when a page is asked for and not before.
"""
