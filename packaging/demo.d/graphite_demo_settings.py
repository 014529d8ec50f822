"""Settings of the Graphite-web of packaging/demo, which puts values for @...@."""

import os.path

from graphite.app_settings import *  # noqa: F401,F403  first: it would put MEDIA_ROOT back

_STATE = "@STATE@"

SECRET_KEY = "@SECRET@"
TIME_ZONE = "@TIME_ZONE@"
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]

LOG_DIR = os.path.join(_STATE, "log")
LOG_ROTATION = False
CONF_DIR = os.path.join(_STATE, "conf")
STORAGE_DIR = os.path.join(_STATE, "carbon")
INDEX_FILE = os.path.join(_STATE, "web", "index")
WHISPER_DIR = os.path.join(STORAGE_DIR, "whisper")
# Left out, it becomes the folders that exist when Graphite-web starts: not yet.
STANDARD_DIRS = [WHISPER_DIR]
# The dashboard looks for its theme as a static file, in a folder that Debian's package does not have.
STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.DefaultStorageFinder"]
MEDIA_ROOT = "/usr/share/graphite-web/static"
CARBONLINK_HOSTS = ["127.0.0.1:@CARBON_QUERY@"]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.path.join(_STATE, "web", "graphite.db"),
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
