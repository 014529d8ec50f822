"""What the names of hosts and series become in Graphite with the files of packaging/fleet: dots, and other plugins'
series."""

import os
import socket
import unittest

import daemons
import fleet


class NamesTest(unittest.TestCase):
    def setUp(self):
        self.fleet = self.enterContext(fleet.Fleet())
        self.store = self.fleet.local("store")
        # Only one Carbon in the test's network: the ports are its own.
        self.fleet.start(fleet.carbon(self.store))

    def agent(self, folder, host, writes, **marks):
        machine = self.fleet.local(folder)
        machine.place("fleet/collectd.conf", "/etc/collectd/collectd.conf", HOST=host)
        machine.place("fleet/mmstats.conf", "/etc/collectd/collectd.conf.d/mmstats.conf")
        machine.place(writes, "/etc/collectd/collectd.conf.d/write_graphite.conf", **marks)
        machine.observe(csv=False)
        # Another plugin's values, by hand.
        path = machine.root + "/etc/collectd/collectd.conf.d/zz-test.conf"
        with open(path, "a") as file:
            file.write(f'LoadPlugin unixsock\n<Plugin unixsock>\n  SocketFile "{machine.folder}/s"\n  SocketGroup "root"\n</Plugin>\n')
        self.fleet.applications(1)
        self.fleet.start(machine.collectd())
        with socket.socket(socket.AF_UNIX) as connection:
            # Its thread may begin to listen after all else.
            daemons.wait_until(lambda: connection.connect_ex(f"{machine.folder}/s") == 0, "collectd's socket")
            connection.sendall(f'PUTVAL "{host}/other-eth0.100/gauge-a.b" N:1\n'.encode())
            connection.recv(100)

    def wait_for(self, *paths):
        for path in paths:
            whole = f"{self.store.root}/var/lib/graphite/whisper/collectd/{path}.wsp"
            daemons.wait_until(lambda: os.path.exists(whole), f"{path} is stored")

    def test_dots_make_levels_of_labels_and_of_hosts(self):
        self.agent("web1", "web1.example.org", "graphite/write_graphite.conf")
        self.wait_for("web1/example/org/mmstats-shop/derive-counted/1", "web1/example/org/other-eth0/100/gauge-a/b")

    def test_other_plugins_keep_their_names(self):
        self.agent("web1", "web1", "fleet/kept-names.conf", CARBON="127.0.0.1")
        self.wait_for("web1/mmstats-shop/derive-counted/1", "web1/other-eth0_100/gauge-a_b")
        found = [os.path.join(folder, name) for folder, _, names in os.walk(self.store.root + "/var/lib/graphite/whisper") for name in names]
        self.assertFalse([path for path in found if "derive-counted_1" in path or "other-eth0/100" in path])


if __name__ == "__main__":
    fleet.main()
