{{/* The program's configuration file, as a dictionary in YAML. */}}
{{- define "carpsidecar.config" -}}
{{- $v := .Values }}
{{- $config := deepCopy $v.config }}
{{- if $v.groups }}
{{- $_ := set $config "groups" $v.groups }}
{{- else }}
{{- with $v.vip }}{{ $_ := set $config "vip" . }}{{ end }}
{{- with $v.interface }}{{ $_ := set $config "interface" . }}{{ end }}
{{- with $v.vhid }}{{ $_ := set $config "vhid" (int .) }}{{ end }}
{{- end }}
{{- $_ := set $config "auth" $v.auth }}
{{- $_ := set $config "passphrase_file" "/run/secrets/carpsidecar/passphrase" }}
{{- $_ := set $config "previous_passphrase_file" "/run/secrets/carpsidecar/previous" }}
{{- $_ := set $config "preempt" $v.preempt }}
{{- if $v.realtime }}{{ $_ := set $config "realtime" true }}{{ end }}
{{- $_ := set $config "advskew" (kindIs "string" $v.priority.advskew | ternary $v.priority.advskew (int $v.priority.advskew)) }}
{{- with $v.priority.nodes }}
{{- $nodes := dict }}
{{- range $name, $advskew := . }}{{ $_ := set $nodes $name (int $advskew) }}{{ end }}
{{- $_ := set $config "node_advskew" $nodes }}
{{- end }}
{{- $host := contains ":" $v.http.host | ternary (printf "[%s]" $v.http.host) $v.http.host }}
{{- $_ := set $config "http" (printf "%s:%d" $host (int $v.http.port)) }}
{{- with $v.health.checks }}{{ $_ := set $config "checks" . }}{{ end }}
{{- if $v.kubernetes.enabled }}
{{- $_ := set $config "kubernetes" true }}
{{- $_ := set $config "pod_selector" (printf "app.kubernetes.io/name=%s,app.kubernetes.io/instance=%s" (include "carpsidecar.name" .) .Release.Name) }}
{{- with $v.workload.selector }}{{ $_ := set $config "workload_selector" . }}{{ end }}
{{- with $v.workload.namespaces }}{{ $_ := set $config "workload_namespace" . }}{{ end }}
{{- if $v.workload.selector }}
{{- with int $v.health.absentDemotion }}{{ $_ := set $config "absent_demotion" . }}{{ end }}
{{- end }}
{{- with int $v.health.unreadyDemotion }}{{ $_ := set $config "unready_demotion" . }}{{ end }}
{{- if $v.health.addressCheck }}{{ $_ := set $config "check_addresses" true }}{{ end }}
{{- with int $v.health.cordonDemotion }}{{ $_ := set $config "cordon_demotion" . }}{{ end }}
{{- with $v.priority.label }}{{ $_ := set $config "advskew_label" . }}{{ end }}
{{- if $v.discoverPeers }}{{ $_ := set $config "discover_peers" true }}{{ end }}
{{- if $v.loadBalancer.enabled }}{{ $_ := set $config "load_balancer" (include "carpsidecar.loadBalancer" . | fromYaml) }}{{ end }}
{{- end }}
{{- toYaml $config }}
{{- end }}

{{/* The configuration's `load_balancer`, as a dictionary in YAML. */}}
{{- define "carpsidecar.loadBalancer" -}}
{{- $lb := .Values.loadBalancer }}
{{- $pools := list }}
{{- range $lb.pools }}
{{- $pool := dict "name" (.name | default "default") "addresses" .addresses }}
{{- if hasKey . "autoAssign" }}{{ $_ := set $pool "auto_assign" .autoAssign }}{{ end }}
{{- with .namespaceSelector }}{{ $_ := set $pool "namespace_selector" . }}{{ end }}
{{- with .interface }}{{ $_ := set $pool "interface" . }}{{ end }}
{{- $pools = append $pools $pool }}
{{- end }}
{{- dict "class" $lb.class "default" $lb.default "rebalance_delay_s" $lb.rebalanceDelay "vhids" $lb.vhids "node_ports" $lb.nodePorts "pools" $pools | toYaml }}
{{- end }}

{{/*
For each address a digest of what the nodes that have it must agree upon, as JSON. CARP's own digest covers the
addresses, so that nodes of the old and of the new list would not hear each other; in the hardened mode they do, and
only the vhid counts, which may follow from the first address.
*/}}
{{- define "carpsidecar.agreement" -}}
{{- $config := include "carpsidecar.config" . | fromYaml }}
{{- $common := dict "secret" (include "carpsidecar.secretName" .) "key" .Values.existingSecretKey }}
{{- range list "interface" "auth" "peer" "multicast" "broadcast" "discover_peers" }}{{ $_ := set $common . (get $config .) }}{{ end }}
{{- $agreement := dict }}
{{- if .Values.loadBalancer.enabled }}{{ $_ := set $agreement "services" ($common | toJson | sha256sum | trunc 16) }}{{ end }}
{{- range $group := $config.groups | default (list $config) }}
{{- $own := dict "vhid" (get $group "vhid") }}
{{- range $name, $value := $common }}{{ $_ := set $own $name (get $group $name | default $value) }}{{ end }}
{{- $vips := include "carpsidecar.vipsOfGroup" $group | fromJsonArray }}
{{- if ne $own.auth "hardened" }}{{ $_ := set $own "vips" $vips }}
{{- else if not $own.vhid }}{{ $_ := set $own "vips" (first $vips) }}{{ end }}
{{- range $vips }}{{ $_ := set $agreement . ($own | toJson | sha256sum | trunc 16) }}{{ end }}
{{- end }}
{{- $agreement | toJson }}
{{- end }}

{{/* Whether the running release agreed upon something else. "true" or nothing; nothing where no cluster can be asked. */}}
{{- define "carpsidecar.agreementChanged" -}}
{{- $running := lookup "apps/v1" "DaemonSet" .Release.Namespace (include "carpsidecar.fullname" .) | default dict }}
{{- include "carpsidecar.disagree" (list (dig "metadata" "annotations" "carpsidecar.io/agreement" "{}" $running) (include "carpsidecar.agreement" .)) }}
{{- end }}

{{/* Whether two agreements differ for an address that both have: of one that is new, or gone, there is only one holder. */}}
{{- define "carpsidecar.disagree" -}}
{{- $before := first . | fromJson }}
{{- $different := list }}
{{- range $address, $digest := last . | fromJson }}
{{- if ne $digest (get $before $address | default $digest) }}{{ $different = append $different $address }}{{ end }}
{{- end }}
{{- if $different }}true{{ end }}
{{- end }}

{{/*
The update strategy. One pod at a time wherever a pod is Ready when it takes part.

Where Ready means elected, no RollingUpdate is right: all but one are unavailable for good, and so, by the version of
the DaemonSet controller, either the elected pod's turn never comes (its maxUnavailable is used up by the others), or
all pods are replaced at once; with 100% it is always all at once. maxSurge would put two of ours on one node. So
there the pods are replaced as they are deleted, the elected one last, and NOTES.txt says how.

Where the nodes must agree upon something new, one at a time would mean two masters until the last is done: all at once.
*/}}
{{- define "carpsidecar.updateStrategy" -}}
{{- if .Values.updateStrategy }}
{{- toYaml .Values.updateStrategy }}
{{- else if include "carpsidecar.agreementChanged" . -}}
type: RollingUpdate
rollingUpdate:
  maxUnavailable: 100%
{{- else if include "carpsidecar.readinessGate" . -}}
type: OnDelete
{{- else -}}
type: RollingUpdate
rollingUpdate:
  maxUnavailable: 1
{{- end }}
{{- end }}
