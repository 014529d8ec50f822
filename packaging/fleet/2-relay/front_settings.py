# Where people look: /etc/graphite/local_settings.py. Has no series of its own, and asks all stores: of the copies of a
# series, those are taken that have fewer holes, and holes are filled from the others.
SECRET_KEY = "@SECRET@"
TIME_ZONE = "UTC"
ALLOWED_HOSTS = ["*"]

CLUSTER_SERVERS = ["@STORE_A@:8080", "@STORE_B@:8080", "@STORE_C@:8080"]
STANDARD_DIRS = []
CARBONLINK_HOSTS = []
# Seconds that a store is waited for, here and in the stores. Graphite's are 3 and 6: too short for a graph over thousands
# of series, which is then empty, without a word.
FIND_TIMEOUT = 10.0
FETCH_TIMEOUT = 60.0

CONF_DIR = "/etc/graphite"
STORAGE_DIR = "/var/lib/graphite"
INDEX_FILE = "/var/lib/graphite/search_index"
LOG_DIR = "/var/log/graphite"
LOG_ROTATION = False
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "/var/lib/graphite/graphite.db"}}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
