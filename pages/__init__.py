"""Pages of the dashboard: ``views`` holds one file per page, ``parts`` what pages are made of; ``app.py`` lists them.

The files beside this one hold no page. On its very first run a fresh server takes any folder of this name for Streamlit's old
kind of app and looks here for the page that a link asks for; each of these files then hands over to ``app.py``. Without them that first
visitor would see "page not found".
"""
