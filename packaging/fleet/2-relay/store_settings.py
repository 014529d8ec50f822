# Each store: /etc/graphite/local_settings.py. Serves the series of this machine.
SECRET_KEY = "@SECRET@"
TIME_ZONE = "UTC"
ALLOWED_HOSTS = ["*"]

WHISPER_DIR = "/var/lib/graphite/whisper"
STANDARD_DIRS = [WHISPER_DIR]
# Carbon of the same machine: values that it has not written yet.
CARBONLINK_HOSTS = ["127.0.0.1:7002"]

# Seconds that a request may take: as the front has it. Graphite's are 3 and 6: too short for thousands of series.
FIND_TIMEOUT = 10.0
FETCH_TIMEOUT = 60.0

CONF_DIR = "/etc/graphite"
STORAGE_DIR = "/var/lib/graphite"
INDEX_FILE = "/var/lib/graphite/search_index"
LOG_DIR = "/var/log/graphite"
LOG_ROTATION = False
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "/var/lib/graphite/graphite.db"}}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
