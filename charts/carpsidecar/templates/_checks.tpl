{{/* What the schema can't say, or not in words: each message says what was found, where, and what to do. */}}
{{- define "carpsidecar.checks" -}}
{{- $v := .Values }}
{{- if and (not $v.vip) (not $v.groups) (not $v.loadBalancer.enabled) }}
{{- fail "\n\nvip: none is given: give the address to float, for example\n\n    --set vip=192.0.2.100\n\nIt must be a free address of the nodes' own network. Or give addresses to Services of type LoadBalancer:\n\n    --set loadBalancer.enabled=true --set 'loadBalancer.pools[0].addresses={192.0.2.200-192.0.2.250}'\n" }}
{{- end }}
{{- if and $v.loadBalancer.enabled (not $v.loadBalancer.pools) }}
{{- fail "loadBalancer.pools: none is given: give free addresses of the nodes' own network, for example --set 'loadBalancer.pools[0].addresses={192.0.2.200-192.0.2.250}'" }}
{{- end }}
{{- if gt (len $v.loadBalancer.pools) 1 }}
{{- range $v.loadBalancer.pools }}
{{- if not .name }}{{ fail (printf "loadBalancer.pools: the one with %v has no name: give each of several a name" .addresses) }}{{ end }}
{{- end }}
{{- end }}
{{- if and $v.readinessGate (not $v.vip) (not $v.groups) }}
{{- fail "readinessGate: there is neither vip nor groups, so that no pod is elected: leave it out" }}
{{- end }}
{{- if and $v.groups (or $v.vip $v.interface $v.vhid) }}
{{- fail "vip, interface, vhid: groups is given too: put them into the groups, or leave groups out" }}
{{- end }}
{{- range include "carpsidecar.vips" . | fromJsonArray }}
{{- if not (regexMatch "^([0-9]{1,3}(\\.[0-9]{1,3}){3}|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)$" .) }}
{{- fail (printf "vip: %q is no address: give one such as 192.0.2.100 or 2001:db8::100" .) }}
{{- end }}
{{- end }}
{{- if gt (len $v.groups) 1 }}
{{- range $v.groups }}
{{- if not .name }}{{ fail (printf "groups: the one with vip %v has no name: give each of several a name" .vip) }}{{ end }}
{{- end }}
{{- end }}
{{- if not $v.kubernetes.enabled }}
{{- range $name, $value := dict "workload.selector" $v.workload.selector "priority.label" $v.priority.label "discoverPeers" $v.discoverPeers "readinessGate" $v.readinessGate "loadBalancer.enabled" $v.loadBalancer.enabled "service.enabled" $v.service.enabled }}
{{- if $value }}{{ fail (printf "%s: kubernetes.enabled is false: turn it on, or leave %s out" $name $name) }}{{ end }}
{{- end }}
{{- end }}
{{- if and $v.workload.namespaces (not $v.workload.selector) }}
{{- fail "workload.namespaces: workload.selector is not given: give the labels of the pods to follow there" }}
{{- end }}
{{- range $v.health.checks }}
{{- if ne (len (without (list (hasKey . "http") (hasKey . "tcp") (hasKey . "command")) false)) 1 }}
{{- fail (printf "health.checks: %q: give one of http, tcp and command" .name) }}
{{- end }}
{{- end }}
{{- if and $v.service.enabled (not $v.vip) (not $v.groups) }}
{{- fail "service.enabled: there is neither vip nor groups, so that no pod is elected: make a Service of type LoadBalancer for your pods instead" }}
{{- end }}
{{- if and $v.service.enabled (not $v.service.ports) }}
{{- fail "service.ports: none is given: give a list, for example --set service.ports[0].name=http,service.ports[0].port=80" }}
{{- end }}
{{- if and $v.podMonitor.enabled (has $v.http.host (list "127.0.0.1" "::1")) }}
{{- fail (printf "podMonitor.enabled: Prometheus can't reach %s on the nodes: set http.host to 0.0.0.0" $v.http.host) }}
{{- end }}
{{- if and $v.discoverPeers (or $v.config.peer $v.config.broadcast $v.config.multicast) }}
{{- fail "discoverPeers: config says where to send too: leave out peer, multicast and broadcast there" }}
{{- end }}
{{- if not (or $v.existingSecret (include "carpsidecar.hasCluster" .)) }}
{{- fail (printf "\n\nexistingSecret: none is given, and no cluster can be looked at (helm template, --dry-run=client, Argo CD, Flux): each rendering would make\nanother passphrase, and nodes with different ones all become master. Make the Secret once:\n\n    (umask 077; head -c 12 /dev/urandom | base64 >passphrase)\n    kubectl -n %s create secret generic %s --from-file=%s=passphrase\n\nand give its name: --set existingSecret=%s\n" .Release.Namespace (include "carpsidecar.secretName" .) $v.existingSecretKey (include "carpsidecar.secretName" .)) }}
{{- end }}
{{- end }}
