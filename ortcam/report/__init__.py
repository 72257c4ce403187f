"""Reports: an HTML file that holds all of what it shows.

Of use for other pages too: :mod:`~ortcam.report.html` makes HTML in which every text is escaped,
:mod:`~ortcam.report.html_page` a page's frame with its policy, style (``base.css``) and script, and
:mod:`~ortcam.report.encode` pictures and arrays as text in the page.
"""

from ortcam.report.writer import Report

__all__ = ["Report"]
