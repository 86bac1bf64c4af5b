{{/* Names and labels, as `helm create` has them. */}}
{{- define "carpsidecar.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "carpsidecar.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "carpsidecar.selectorLabels" -}}
app.kubernetes.io/name: {{ include "carpsidecar.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "carpsidecar.labels" -}}
{{ include "carpsidecar.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "carpsidecar.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "carpsidecar.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* Cluster-wide objects need a name that no release in another namespace has. */}}
{{- define "carpsidecar.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "carpsidecar.fullname" .) | trimPrefix "-" }}
{{- end }}

{{- define "carpsidecar.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- define "carpsidecar.secretName" -}}
{{- .Values.existingSecret | default (printf "%s-passphrase" (include "carpsidecar.fullname" .)) }}
{{- end }}

{{/* Whether there is a cluster to look at. Each namespace has this account; --create-namespace makes it only later. */}}
{{- define "carpsidecar.hasCluster" -}}
{{- if lookup "v1" "ServiceAccount" .Release.Namespace "default" -}}
true
{{- else if lookup "v1" "Namespace" "" "kube-system" -}}
true
{{- end }}
{{- end }}

{{/* Whether there is to be an admission policy. "true" or nothing. */}}
{{- define "carpsidecar.admissionPolicy" -}}
{{- $has := .Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy" }}
{{- if and .Values.kubernetes.enabled (kindIs "invalid" .Values.admissionPolicy.enabled | ternary $has .Values.admissionPolicy.enabled) -}}
true
{{- end }}
{{- end }}

{{/* Whether our own node is watched. "true" or nothing. */}}
{{- define "carpsidecar.watchesNode" -}}
{{- if or (gt (int .Values.health.cordonDemotion) 0) .Values.priority.label .Values.loadBalancer.enabled -}}
true
{{- end }}
{{- end }}

{{/* Whether the API is asked about more than the namespaces' pods. "true" or nothing. */}}
{{- define "carpsidecar.readsCluster" -}}
{{- if and .Values.kubernetes.enabled (or (include "carpsidecar.watchesNode" .) .Values.health.addressCheck) -}}
true
{{- end }}
{{- end }}

{{/* Whether Ready means elected. "true" or nothing. */}}
{{- define "carpsidecar.readinessGate" -}}
{{- if kindIs "invalid" .Values.readinessGate -}}
{{- if and .Values.kubernetes.enabled .Values.extraContainers (or .Values.vip .Values.groups) }}true{{ end }}
{{- else if .Values.readinessGate -}}
true
{{- end }}
{{- end }}

{{/* Every virtual address without its prefix, as a JSON list. */}}
{{- define "carpsidecar.vips" -}}
{{- $vips := list }}
{{- range (.Values.groups | default (list (dict "vip" .Values.vip))) }}
{{- $vips = concat $vips (include "carpsidecar.vipsOfGroup" . | fromJsonArray) }}
{{- end }}
{{- $vips | toJson }}
{{- end }}

{{/* The same of one group, or of the whole configuration. */}}
{{- define "carpsidecar.vipsOfGroup" -}}
{{- $vips := list }}
{{- range (kindIs "slice" .vip | ternary .vip (list .vip)) }}
{{- range without (. | default "" | toString | splitList ",") "" }}{{ $vips = append $vips (trim . | splitList "/" | first) }}{{ end }}
{{- end }}
{{- $vips | toJson }}
{{- end }}

{{/* The pod label that has the role: of the first group `carp-role`, of a further one `carp-role-NAME`. */}}
{{- define "carpsidecar.roleLabel" -}}
{{- $group := .Values.service.group }}
{{- if not $group -}}
carp-role
{{- else }}
{{- $names := list }}
{{- range (.Values.groups | default (list .Values.config)) }}{{ $names = append $names (.name | default "") }}{{ end }}
{{- if not (has $group $names) }}
{{- fail (printf "service.group: no group is called %q: give the name of one in groups, or leave it out" $group) }}
{{- end }}
{{- eq $group (first $names) | ternary "carp-role" (printf "carp-role-%s" $group) }}
{{- end }}
{{- end }}

{{/* The host that probes ask: kubelet is in the node's network, as the pod is. */}}
{{- define "carpsidecar.probeHost" -}}
{{- get (dict "0.0.0.0" "127.0.0.1" "::" "::1") .Values.http.host | default .Values.http.host }}
{{- end }}

{{/* An httpGet probe of a path. */}}
{{- define "carpsidecar.probe" -}}
{{- $root := first . -}}
host: {{ include "carpsidecar.probeHost" $root | quote }}
port: {{ $root.Values.http.port }}
path: {{ last . }}
{{- end }}

{{/* The labels of a hook's object: never those that select the DaemonSet's pods. Takes the root and the hook's name. */}}
{{- define "carpsidecar.hookLabels" -}}
app.kubernetes.io/name: {{ include "carpsidecar.name" (first .) }}-{{ last . }}
app.kubernetes.io/instance: {{ (first .).Release.Name }}
{{- end }}

{{/* What the hooks' pods have in common: they ask the API, by the node's network, and may do nothing on the node. */}}
{{- define "carpsidecar.hookPod" -}}
hostNetwork: true
restartPolicy: Never
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{- define "carpsidecar.hookContainer" -}}
image: {{ include "carpsidecar.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65534
  runAsGroup: 65534
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}
