"""Values that people give, each with a name: what is true of a chart has to be true with all of them."""

from typing import Any

VIP = {"vip": "192.0.2.100", "existingSecret": "carp-passphrase"}
WORKLOAD = {"extraContainers": [{"name": "web", "image": "nginx:1.29", "ports": [{"containerPort": 80}]}]}
PORTS = [{"name": "http", "port": 80, "targetPort": 8080}]

CASES: dict[str, dict[str, Any]] = {
    "vip only": VIP,
    "list of both families": {**VIP, "vip": ["192.0.2.100/24", "2001:db8::100"], "interface": "eth0", "vhid": 42},
    "groups": {
        "existingSecret": "carp-passphrase",
        "groups": [
            {"name": "outside", "vip": ["192.0.2.100", "192.0.2.101"], "vhid": 42, "sync_group": "firewall"},
            {"name": "inside", "vip": "10.0.0.1/24", "interface": "eth1", "vhid": 43, "sync_group": "firewall"},
        ],
        "service": {"enabled": True, "group": "inside", "ports": PORTS, "externalIPs": True},
    },
    "without the API": {
        **VIP,
        "kubernetes": {"enabled": False},
        "priority": {"nodes": {"node-a": 0, "node-b": 100}},
    },
    "a workload in the pod": {**VIP, **WORKLOAD, "extraVolumes": [{"name": "data", "emptyDir": {}}]},
    "a workload, ready everywhere": {**VIP, **WORKLOAD, "readinessGate": False},
    "workload pods elsewhere": {
        **VIP,
        "workload": {"selector": "app=web,tier in (front, back)", "namespaces": ["web", "ha"]},
        "service": {"enabled": True, "selector": {"app": "web"}, "ports": PORTS},
    },
    "no ClusterRole": {**VIP, "health": {"cordonDemotion": 0, "addressCheck": False}},
    "only the check of the addresses": {**VIP, "health": {"cordonDemotion": 0}},
    "priority by label": {
        **VIP,
        "health": {"cordonDemotion": 0},
        "priority": {"label": "carpsidecar.io/advskew", "advskew": 100},
        "preempt": True,
    },
    "checks": {
        **VIP,
        "health": {
            "checks": [
                {"name": "web", "http": "http://127.0.0.1:8080/", "interval_s": 0.5, "fall": 2},
                {"name": "database", "tcp": "127.0.0.1:5432", "demotion": 100},
                {"name": "disk", "command": ["test", "-w", "/tmp"], "timeout_s": 1},
            ]
        },
    },
    "monitoring": {
        **VIP,
        "http": {"host": "0.0.0.0", "port": 9200},
        "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True},
        "dashboard": {"enabled": True, "annotations": {"folder": "network"}},
    },
    "unicast, tuned, compatible": {
        **VIP,
        "discoverPeers": True,
        "auth": "carp",
        "existingSecret": "carp",
        "existingSecretKey": "pass.txt",
        "config": {"advbase": 2, "dead_ratio": 4, "log_format": "json"},
    },
    "everything a pod may have": {
        **VIP,
        **WORKLOAD,
        "fullnameOverride": "vip",
        "image": {
            "repository": "registry.example.com/carp",
            "digest": "sha256:" + "0" * 64,
            "pullPolicy": "Always",
        },
        "imagePullSecrets": [{"name": "pull"}],
        "serviceAccount": {"create": False, "name": "mine"},
        "extraInitContainers": [{"name": "wait", "image": "busybox:1", "command": ["true"]}],
        "extraVolumes": [{"name": "hooks", "configMap": {"name": "hooks"}}],
        "extraVolumeMounts": [{"name": "hooks", "mountPath": "/hooks"}],
        "extraEnv": [{"name": "TZ", "value": "UTC"}],
        "podAnnotations": {"example.com/a": "b"},
        "podLabels": {"team": "network"},
        "nodeSelector": {"role": "edge"},
        "affinity": {"nodeAffinity": {}},
        "tolerations": [],
        "priorityClassName": "",
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%"}},
        "resources": {},
    },
    "real-time": {**VIP, "realtime": True},
    "an admission policy": {**VIP, "admissionPolicy": {"enabled": True}, "workload": {"selector": "app=web"}},
    "a preference for each group": {
        "existingSecret": "carp-passphrase",
        "groups": [
            {"name": "web", "vip": "192.0.2.100", "node_advskew": {"node-a": 0, "node-b": 100}},
            {"name": "mail", "vip": "192.0.2.101", "node_advskew": {"node-a": 100, "node-b": 0}},
        ],
    },
    "IPv6 loopback": {**VIP, "vip": "2001:db8::100", "vhid": 7, "http": {"host": "::1", "port": 9112}},
    "Services only": {
        "existingSecret": "carp-passphrase",
        "loadBalancer": {"enabled": True, "pools": [{"addresses": ["192.0.2.200-192.0.2.250"]}]},
    },
    "Services beside a vip": {
        **VIP,
        "health": {"cordonDemotion": 0, "addressCheck": False},
        "admissionPolicy": {"enabled": True},
        "loadBalancer": {
            "enabled": True,
            "class": "example.com/lb",
            "default": False,
            "rebalanceDelay": -1,
            "vhids": "20000-20999",
            "nodePorts": "open",
            "pools": [
                {"name": "all", "addresses": ["198.51.100.0/25", "2001:db8:1::/120"]},
                {
                    "name": "some",
                    "addresses": ["198.51.100.200"],
                    "autoAssign": False,
                    "namespaceSelector": "team in (web, mail)",
                    "interface": "eth1",
                },
            ],
        },
    },
    "as a part of another chart": {**VIP, "global": {"storageClass": "x"}, "enabled": True},
}
