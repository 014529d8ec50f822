"""A Kafka cluster of one broker for tests: the one that librdkafka has in it. Debian has no other."""

import ctypes

PRODUCER = 0


class KafkaBroker:
    """In this process, on a loopback port of its own. Messages are kept in memory, the last 100,000 of a partition or so."""

    def __init__(self):
        self.library = ctypes.CDLL("librdkafka.so.1")
        for name in ("rd_kafka_new", "rd_kafka_mock_cluster_new", "rd_kafka_conf_new"):
            getattr(self.library, name).restype = ctypes.c_void_p
        self.library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p

    def __enter__(self):
        error = ctypes.create_string_buffer(512)
        conf = ctypes.c_void_p(self.library.rd_kafka_conf_new())
        self.client = ctypes.c_void_p(self.library.rd_kafka_new(PRODUCER, conf, error, ctypes.c_size_t(len(error))))
        assert self.client, error.value
        self.cluster = ctypes.c_void_p(self.library.rd_kafka_mock_cluster_new(self.client, 1))
        assert self.cluster
        self.address = self.library.rd_kafka_mock_cluster_bootstraps(self.cluster).decode()
        return self

    def go_down(self):
        """Closes all connections, and takes none."""
        assert self.library.rd_kafka_mock_broker_set_down(self.cluster, 1) == 0

    def come_up(self):
        assert self.library.rd_kafka_mock_broker_set_up(self.cluster, 1) == 0

    def __exit__(self, *_):
        self.library.rd_kafka_mock_cluster_destroy(self.cluster)
        self.library.rd_kafka_destroy(self.client)
