"""Pictures as SVG, from numbers: pure functions that answer markup.

Colours come from the page's style sheet by class; what distinguishes lines is never colour alone.
All text is escaped here.
"""
