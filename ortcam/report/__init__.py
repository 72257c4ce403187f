"""Reports: HTML files that hold everything they show.

Other pages use its parts too: :mod:`~ortcam.report.html` builds HTML in which all text is escaped,
:mod:`~ortcam.report.html_page` the frame of a page with its policy, style (``base.css``) and
script, and :mod:`~ortcam.report.encode` pictures and arrays as text.
"""

from ortcam.report.writer import Report

__all__ = ["Report"]
